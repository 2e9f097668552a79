"""Reading where an instance stands, and noticing one that was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import msgspec
import structlog
from nats.aio.client import Client

from services.gateway import metrics
from services.gateway.credentials.caller import Caller
from shared.jetstream.backlog import oldest_at
from shared.jetstream.requests import Requests, Unavailable
from shared.jetstream.status import JetStreamStatusBucket, Stored
from shared.messages import subjects
from shared.messages.problems import Refused
from shared.messages.workflows import (
    InstanceQuery,
    Status,
    StatusDocument,
    Trigger,
    WorkflowStatus,
)
from shared.workflow.ports import Clock
from shared.workflow.records import InstanceKey

log = structlog.get_logger()

SUSPICIOUS_AFTER = timedelta(minutes=10)
"""A start that nobody has taken by then is looked for (rule 15)."""


class StatusReader:
    """Answers where an instance stands."""

    def __init__(
        self,
        statuses: JetStreamStatusBucket,
        client: Client,
        clock: Clock,
        triggers: Mapping[str, type[Trigger]],
    ):
        self._statuses = statuses
        self._client = client
        self._requests = Requests(client)
        self._clock = clock
        self._triggers = triggers

    async def find(
        self, workflow_id: str, kind: str | None, caller: Caller, action: str
    ) -> StatusDocument:
        """The status, for a caller who wants to do something to the instance; `kind` is needed
        where several kinds have the id.

        Raises Refused for an id that is unknown, or of a kind that the caller may neither read nor
        do this to, and for one that it may only read; Transient while the bucket is away.
        """
        if kind is not None:
            caller.require(f"{kind}:{action}")
        kinds = caller.among(self._triggers, "read", action) if kind is None else [kind]
        keys = [InstanceKey(each, workflow_id) for each in kinds]
        answers = await asyncio.gather(*(self._statuses.get(key) for key in keys))
        found = [(key, answer) for key, answer in zip(keys, answers, strict=True) if answer]
        if not found:
            raise Refused(
                "workflow_not_found", f"no workflow has the id {workflow_id!r}", status=404
            )
        if len(found) > 1:
            several = ", ".join(key.kind for key, _ in found)
            raise Refused(
                "kind_required", f"{several} have this id: add `kind` to the query", field="kind"
            )
        key, stored = found[0]
        caller.require(f"{key.kind}:{action}")
        return await self._truth(key, stored)

    async def _truth(self, key: InstanceKey, stored: Stored) -> StatusDocument:
        document = stored.document
        age = self._clock.now() - document.created_at
        if document.status is not Status.QUEUED or age < SUSPICIOUS_AFTER:
            return document
        service = self._triggers[key.kind].service
        try:
            return await self._requests.request(
                subjects.instance_query(service),
                InstanceQuery(kind=key.kind, id=key.id),
                StatusDocument,
            )
        except Unavailable:
            # Nobody can tell; it may well be waiting for its service.
            return document
        except Refused as refused:
            if refused.status != 404:
                log.warning("instance_query_refused", key=str(key), reason=refused.detail)
                return document
        if await self._may_be_waiting(service, stored):
            return document
        metrics.UNKNOWN.labels(key.kind).inc()
        log.error("instance_lost", kind=key.kind, workflow_id=key.id)
        return msgspec.structs.replace(document, status=Status.UNKNOWN)

    async def _may_be_waiting(self, service: str, stored: Stored) -> bool:
        """Whether the stream holds anything old enough to be this start.

        Both instants are of the server's clock.
        """
        oldest = await oldest_at(self._client, subjects.workflows_stream(service))
        return oldest is not None and oldest - stored.stored_at < SUSPICIOUS_AFTER


def public(document: StatusDocument) -> WorkflowStatus:
    """The document without what only decides between documents."""
    return WorkflowStatus(
        **{name: getattr(document, name) for name in WorkflowStatus.__struct_fields__}
    )
