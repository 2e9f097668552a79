"""`/api/workflows`: starting instances and reading where they stand."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import uuid4

from aiohttp import web
from msgspec import Meta, defstruct, structs

from services.gateway.middleware import ACTOR
from services.gateway.routes.operations import (
    KIND,
    OF_BODY,
    OF_KEY,
    UNAUTHORIZED,
    Operation,
    Parameter,
)
from services.gateway.routes.reading import idempotency_key, read_object
from services.gateway.starts import NotConfirmed, Outcome, Start, Starter, prepare
from services.gateway.statuses import StatusReader
from shared.messages import subjects
from shared.messages.base import Message, WorkflowId, encode, is_workflow_id
from shared.messages.decoding import convert
from shared.messages.problems import Problem, Refused
from shared.messages.workflows import TRIGGERS, Accepted, BatchAccepted, Trigger, WorkflowStatus

MAX_BATCH = 100


class Batch(Message, frozen=True, kw_only=True):
    """Body of a batch start."""

    instances: list[Any]


ID = Parameter("id", "path", WorkflowId)
OF_ID = ("invalid_workflow_id", "unknown_kind", "kind_required", "workflow_not_found")
"""What is refused where an instance is named."""


def _operations(kind: str, trigger: type[Trigger]) -> tuple[Operation, Operation]:
    subject = subjects.start(kind)
    batch = Annotated[list[trigger], Meta(min_length=1, max_length=MAX_BATCH)]  # type: ignore[valid-type]
    start = Operation(
        "POST",
        f"/api/workflows/{kind}",
        f"Start a {kind} workflow",
        Accepted,
        202,
        (
            *UNAUTHORIZED,
            *OF_BODY,
            *OF_KEY,
            "idempotency_key_reused",
            "workflow_exists",
            "start_not_confirmed",
            "too_large",
        ),
        body=trigger,
        subject=subject,
        route="/api/workflows/{kind}",
        description=trigger.__doc__ or "",
        idempotency_key=True,
        located=True,
    )
    return start, start._replace(
        path=f"/api/workflows/{kind}/batch",
        summary=f"Start up to {MAX_BATCH} {kind} workflows",
        answer=BatchAccepted,
        codes=(*UNAUTHORIZED, *OF_BODY, *OF_KEY, "invalid_batch", "start_not_confirmed"),
        body=defstruct(f"BatchOf{trigger.__name__}", [("instances", batch)]),
        route="/api/workflows/{kind}/batch",
        located=False,
    )


class StartRefused(Refused):
    """A start whose id is taken; the problem names it."""

    def __init__(self, code: str, detail: str, *, status: int, workflow_id: str):
        super().__init__(code, detail, status=status)
        self._workflow_id = workflow_id

    def problem(self) -> Problem:
        """See Refused."""
        return structs.replace(super().problem(), workflow_id=self._workflow_id)


class WorkflowRoutes:
    """Handlers; each decodes, asks one collaborator, and answers."""

    def __init__(self, starter: Starter, reader: StatusReader):
        self._starter = starter
        self._reader = reader

    def table(self) -> list[web.RouteDef]:
        """The addresses."""
        return [
            web.get("/api/workflows", self.status_by_query),
            web.get("/api/workflows/{id}", self.status_by_path),
            web.post("/api/workflows/{kind}", self.start),
            web.post("/api/workflows/{kind}/batch", self.start_batch),
        ]

    async def start(self, request: web.Request) -> web.Response:
        """202, once JetStream keeps the start; 409 for an id that exists."""
        kind = known_kind(request.match_info["kind"])
        start = prepare(
            kind,
            await read_object(request),
            actor=request[ACTOR],
            idempotency_key=idempotency_key(request),
            new_id=uuid4,
        )
        outcome = await self._starter.start(start)
        if outcome is Outcome.EXISTS:
            raise StartRefused(
                "workflow_exists",
                f"a {kind} workflow with the id {start.key.id!r} exists; it is unchanged",
                status=409,
                workflow_id=start.key.id,
            )
        if outcome is Outcome.KEY_REUSED:
            raise StartRefused(
                "idempotency_key_reused",
                "this Idempotency-Key came with another body before: use a new key",
                status=422,
                workflow_id=start.key.id,
            )
        return answer(
            Accepted(workflow_id=start.key.id),
            status=202,
            headers={"Location": f"/api/workflows/{start.key.id}?kind={kind}"},
        )

    async def start_batch(self, request: web.Request) -> web.Response:
        """202 with the ids that are started now and those that existed; all or none is valid."""
        kind = known_kind(request.match_info["kind"])
        starts = self._prepare_batch(kind, request, await read_object(request))
        outcomes = await asyncio.gather(
            *(self._starter.start(start) for start in starts), return_exceptions=True
        )
        unconfirmed: list[NotConfirmed] = []
        accepted: list[str] = []
        skipped: list[str] = []
        for start, outcome in zip(starts, outcomes, strict=True):
            if isinstance(outcome, NotConfirmed):
                unconfirmed.append(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            elif outcome in {Outcome.ACCEPTED, Outcome.REPLAYED}:
                accepted.append(start.key.id)
            else:
                skipped.append(start.key.id)
        if unconfirmed:
            keys = tuple(key for each in unconfirmed for key in each.keys)
            raise NotConfirmed(keys) from unconfirmed[0].__cause__
        return answer(
            BatchAccepted(workflow_ids=tuple(accepted), skipped=tuple(skipped)), status=202
        )

    async def status_by_query(self, request: web.Request) -> web.Response:
        """`?id=`, as the reference has it."""
        return await self._status(request, request.query.get("id", ""))

    async def status_by_path(self, request: web.Request) -> web.Response:
        """The same by address."""
        return await self._status(request, request.match_info["id"])

    async def _status(self, request: web.Request, workflow_id: str) -> web.Response:
        return answer(await self._reader.read(*id_and_kind(request, workflow_id)))

    def _prepare_batch(self, kind: str, request: web.Request, body: dict[str, Any]) -> list[Start]:
        instances = convert(body, Batch).instances
        if not 1 <= len(instances) <= MAX_BATCH:
            raise Refused(
                "invalid_batch",
                f"a batch has 1 to {MAX_BATCH} instances, not {len(instances)}",
                field="instances",
            )
        key = idempotency_key(request)
        starts: list[Start] = []
        wrong: list[tuple[str, str]] = []
        for index, value in enumerate(instances):
            try:
                start = prepare(
                    kind,
                    value,
                    actor=request[ACTOR],
                    idempotency_key=key,
                    new_id=uuid4,
                    place=str(index),
                )
            except Refused as refused:
                field = f".{refused.field}" if refused.field else ""
                wrong.append((f"instances[{index}]{field}", refused.detail))
                continue
            if any(start.key == other.key for other in starts):
                wrong.append((f"instances[{index}].id", f"{start.key.id!r} is in the batch twice"))
            starts.append(start)
        if wrong:
            raise Refused(
                "invalid_batch",
                "nothing was started; " + "; ".join(f"{path}: {what}" for path, what in wrong),
                field=wrong[0][0],
            )
        return starts


OPERATIONS = (
    *(each for kind, trigger in TRIGGERS.items() for each in _operations(kind, trigger)),
    Operation(
        "GET",
        "/api/workflows",
        "Where an instance stands, by query",
        WorkflowStatus,
        200,
        (*UNAUTHORIZED, "workflow_id_required", *OF_ID, "unavailable"),
        (Parameter("id", "query", WorkflowId), KIND),
    ),
    Operation(
        "GET",
        "/api/workflows/{id}",
        "Where an instance stands",
        WorkflowStatus,
        200,
        (*UNAUTHORIZED, *OF_ID, "unavailable"),
        (ID, KIND),
    ),
)


def id_and_kind(request: web.Request, workflow_id: str) -> tuple[str, str | None]:
    """The instance that a request means. Raises Refused for what cannot be one."""
    kind = request.query.get("kind")
    return checked_id(workflow_id), None if kind is None else known_kind(kind)


def checked_id(workflow_id: str) -> str:
    """The id itself. Raises Refused for what no instance can have."""
    if not workflow_id:
        raise Refused(
            "workflow_id_required", "add the workflow's id: ?id=…", status=400, field="id"
        )
    if not is_workflow_id(workflow_id):
        raise Refused(
            "invalid_workflow_id",
            "an id has 1 to 100 letters, digits, '_' or '-' and does not begin with '-'",
            status=400,
            field="id",
        )
    return workflow_id


def known_kind(kind: str) -> str:
    """The kind itself. Raises Refused with 404, naming those that there are."""
    if kind not in TRIGGERS:
        known = ", ".join(sorted(TRIGGERS))
        raise Refused(
            "unknown_kind", f"there is no workflow {kind!r}; there are: {known}", status=404
        )
    return kind


def answer(
    message: Message, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """The message as JSON."""
    return web.Response(
        body=encode(message), status=status, headers=headers, content_type="application/json"
    )
