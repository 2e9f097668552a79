"""The list of instances over all services, and the timeline of one."""

from __future__ import annotations

import asyncio
import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from services.gateway.routes.workflows import answer, id_and_kind, known_kind
from services.gateway.statuses import StatusReader
from shared.jetstream.requests import Requests, Unavailable
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.instances import (
    LISTED,
    InstancePosition,
    Instances,
    InstancesQuery,
    ListedStatus,
    Run,
    Timeline,
    TimelineQuery,
    WorkflowPage,
)
from shared.messages.problems import Refused
from shared.messages.values import Instant, Limit
from shared.messages.workflows import Status, Trigger

PARAMETERS: Mapping[str, Any] = {"since": Instant, "limit": Limit}


class InstanceRoutes:
    """Handlers; what they show is in the services' journals."""

    def __init__(
        self, reader: StatusReader, requests: Requests, triggers: Mapping[str, type[Trigger]]
    ):
        self._reader = reader
        self._requests = requests
        self._triggers = triggers

    def table(self) -> list[web.RouteDef]:
        """The addresses."""
        return [
            web.get("/api/workflows", self.instances),
            web.get("/api/workflows/{id}/timeline", self.timeline),
        ]

    async def instances(self, request: web.Request) -> web.Response:
        """A page; with `?id=` a status, as the reference has it."""
        if "id" in request.query:
            given = id_and_kind(request, request.query["id"])
            return answer(await self._reader.read(*given))
        return await self._page(request)

    async def _page(self, request: web.Request) -> web.Response:
        # Every service that has one of the kinds must answer: of a page with a gap the cursor would
        # pass by what is missing.
        query = _query(request, list(self._triggers))
        kinds: dict[str, list[str]] = {}
        for kind in query.kinds:
            kinds.setdefault(self._triggers[kind].service, []).append(kind)
        pages = await asyncio.gather(
            *(
                self._ask(service, msgspec.structs.replace(query, kinds=tuple(some)))
                for service, some in kinds.items()
            )
        )
        return answer(merge(pages, query.limit))

    async def timeline(self, request: web.Request) -> web.Response:
        """What became of an instance, from its service's journal."""
        workflow_id, kind = id_and_kind(request, request.match_info["id"])
        run = _parameter("run", request.query.get("run"), Run | None)
        document = await self._reader.find(workflow_id, kind)
        query = TimelineQuery(kind=document.kind, id=workflow_id, run=run)
        service = self._triggers[document.kind].service
        try:
            found = await self._requests.request(
                subjects.query(service, "timeline"), query, Timeline
            )
        except Refused as refused:
            if refused.status != 404 or document.status not in {Status.QUEUED, Status.UNKNOWN}:
                raise
            # Nothing became of it yet.
            found = Timeline(
                workflow_id=workflow_id,
                kind=document.kind,
                status=document.status,
                run=1,
                actor=document.actor,
                created_at=document.created_at,
                finished_at=None,
                entries=(),
            )
        return answer(found)

    async def _ask(self, service: str, query: InstancesQuery) -> Instances:
        try:
            return await self._requests.request(
                subjects.query(service, "instances"), query, Instances
            )
        except Unavailable as error:
            raise Refused(
                "service_unavailable",
                f"the {service} service does not answer: try again, or name with `kind` what "
                "others have",
                status=503,
            ) from error


def merge(pages: Iterable[Instances], limit: int) -> WorkflowPage:
    """The newest of all pages, as one; each has at least `limit` instances or all it could."""
    found = list(pages)
    ordered = heapq.merge(
        *(page.instances for page in found), key=lambda each: each.rank, reverse=True
    )
    everything = tuple(ordered)
    kept = everything[:limit]
    more = len(everything) > limit or any(page.next for page in found)
    return WorkflowPage(
        workflows=kept, next_cursor=_cursor(kept[-1].position) if more and kept else None
    )


def _query(request: web.Request, kinds: list[str]) -> InstancesQuery:
    """What the address asks for. Raises Refused, which names the parameter."""
    asked = request.query.getall("kind", [])
    statuses = request.query.getall("status", [])
    for status in statuses:
        if status not in LISTED:
            raise Refused(
                "invalid_parameter",
                f"{status!r} is in no list: {', '.join(LISTED)} are; what no service has taken yet "
                "is seen by its id alone",
                field="status",
            )
    given = {
        name: _parameter(name, request.query[name], wanted)
        for name, wanted in PARAMETERS.items()
        if name in request.query
    }
    cursor = request.query.get("cursor")
    return InstancesQuery(
        kinds=tuple(dict.fromkeys(map(known_kind, asked))) or tuple(kinds),
        statuses=msgspec.convert(tuple(dict.fromkeys(statuses)), tuple[ListedStatus, ...]),
        after=None if cursor is None else _position(cursor),
        **given,
    )


def _parameter(name: str, text: str | None, wanted: Any) -> Any:
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise Refused("invalid_parameter", f"{name}: {error}", field=name) from error


def _cursor(position: InstancePosition) -> str:
    return urlsafe_b64encode(encode(position)).decode().rstrip("=")


def _position(cursor: str) -> InstancePosition:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(text, type=InstancePosition)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Refused(
            "invalid_parameter", "it is no `nextCursor` of this list", field="cursor"
        ) from error
