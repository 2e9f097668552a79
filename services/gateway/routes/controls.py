"""Signals and controls: checked against the instance's status, then published for its service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
from aiohttp import web

from services.gateway.middleware import ACTOR
from services.gateway.routes.operations import (
    KIND,
    OF_BODY,
    OF_KEY,
    UNAUTHORIZED,
    AnyContent,
    Operation,
    Parameter,
)
from services.gateway.routes.reading import idempotency_key, read_object
from services.gateway.routes.workflows import ID, OF_ID, answer, id_and_kind
from services.gateway.statuses import StatusReader
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.decoding import convert
from shared.messages.problems import Refused
from shared.messages.workflows import (
    SIGNAL_TYPE_PATTERN,
    Accepted,
    Action,
    ControlCommand,
    SignalCommand,
    SignalType,
    Status,
    StatusDocument,
    Trigger,
)
from shared.workflow.ports import Publisher
from shared.workflow.records import OutboxMessage

NAMESPACE = UUID("2f4e8a35-50f1-5d0b-8a2a-6d3e2b7f9c11")
"""Root of the message ids that follow from an idempotency key."""


class Terminate(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of terminate; none is an empty one."""

    rollback: bool = False


class Restart(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of restart; none is an empty one."""

    from_step: str | None = None


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of pause and resume."""


BODIES: Mapping[Action, type[msgspec.Struct]] = {
    Action.PAUSE: Nothing,
    Action.RESUME: Nothing,
    Action.TERMINATE: Terminate,
    Action.RESTART: Restart,
}


OF_CONTROL = (*UNAUTHORIZED, *OF_BODY, *OF_KEY, *OF_ID, "unavailable")


def _control(action: Action) -> Operation:
    own = "unknown_step" if action is Action.RESTART else "workflow_ended"
    return Operation(
        "POST",
        f"/api/workflows/{{id}}/{action.value}",
        f"{action.value.capitalize()} an instance",
        Accepted,
        202,
        (*OF_CONTROL, own),
        (ID, KIND),
        body=BODIES[action],
        route="/api/workflows/{id}/{action}",
        idempotency_key=True,
        located=True,
    )


OPERATIONS = (
    *map(_control, Action),
    Operation(
        "POST",
        "/api/workflows/{id}/signals/{type}",
        "Send a signal to an instance",
        Accepted,
        202,
        (*OF_CONTROL, "workflow_ended", "invalid_signal_type", "unknown_signal"),
        (ID, Parameter("type", "path", SignalType), KIND),
        body=AnyContent,
        idempotency_key=True,
        located=True,
    ),
)


class ControlRoutes:
    """`POST /api/workflows/{id}/{action}` and `…/signals/{type}`."""

    def __init__(
        self, reader: StatusReader, publisher: Publisher, triggers: Mapping[str, type[Trigger]]
    ):
        self._reader = reader
        self._publisher = publisher
        self._triggers = triggers

    def table(self) -> list[web.RouteDef]:
        """The addresses."""
        actions = "|".join(Action)
        return [
            web.post(f"/api/workflows/{{id}}/{{action:{actions}}}", self.control),
            web.post("/api/workflows/{id}/signals/{type}", self.signal),
        ]

    async def control(self, request: web.Request) -> web.Response:
        """202 once JetStream keeps the request; 409 where it could do nothing."""
        action = Action(request.match_info["action"])
        body = convert(await read_object(request), BODIES[action])
        document = await self._find(request)
        _check(document, action, body)
        command = ControlCommand(
            id=document.workflow_id, action=action, **msgspec.structs.asdict(body)
        )
        subject = subjects.control(document.kind)
        return await self._publish(request, document, subject, encode(command), action)

    async def signal(self, request: web.Request) -> web.Response:
        """202 once JetStream keeps the signal, also when nobody waits for it yet."""
        payload = await read_object(request)
        document = await self._find(request)
        if document.status.ended:
            raise _ended(document, "a signal would never be read")
        signal_type = request.match_info["type"]
        self._check_signal(document.kind, signal_type, payload)
        command = SignalCommand(type=signal_type, payload=msgspec.Raw(encode(payload)))
        subject = subjects.signal(document.kind, document.workflow_id)
        return await self._publish(
            request, document, subject, encode(command), f"signal/{signal_type}"
        )

    async def _find(self, request: web.Request) -> StatusDocument:
        workflow_id, kind = id_and_kind(request, request.match_info["id"])
        return await self._reader.find(workflow_id, kind)

    def _check_signal(self, kind: str, signal_type: str, payload: dict[str, Any]) -> None:
        if not re.match(SIGNAL_TYPE_PATTERN, signal_type):
            raise Refused(
                "invalid_signal_type", "a type has 1 to 100 characters and no '.'", field="type"
            )
        known = {signal.type: signal for signal in self._triggers[kind].signals}
        if signal_type not in known:
            names = ", ".join(sorted(known)) or "none at all"
            raise Refused(
                "unknown_signal",
                f"a {kind} workflow waits for no {signal_type!r}; it takes {names}",
                field="type",
            )
        convert(payload, known[signal_type])

    async def _publish(
        self,
        request: web.Request,
        document: StatusDocument,
        subject: str,
        body: bytes,
        what: str,
    ) -> web.Response:
        key, actor = idempotency_key(request), request[ACTOR]
        place = f"{actor}/{document.kind}.{document.workflow_id}/{what}/{key}"
        message = OutboxMessage(
            # Its own for each request, so that an attempt of ours that timed out counts once.
            id=str(uuid4() if key is None else uuid5(NAMESPACE, place)),
            subject=subject,
            body=body,
            headers={subjects.ACTOR: actor},
        )
        await self._publisher.publish([message])
        return answer(
            Accepted(workflow_id=document.workflow_id),
            status=202,
            headers={"Location": f"/api/workflows/{document.workflow_id}?kind={document.kind}"},
        )


def _check(document: StatusDocument, action: Action, body: msgspec.Struct) -> None:
    """Raises Refused for what is known to do nothing; the rest is the service's to decide."""
    if action is Action.RESTART:
        step = getattr(body, "from_step", None)
        if step is not None and step not in {each.name for each in document.steps}:
            raise Refused(
                "unknown_step", f"the instance has no step {step!r} yet", field="fromStep"
            )
        return
    poisoned = document.error is not None and document.error.name == "poisoned"
    revives = action is Action.RESUME and document.status is Status.ERRORED and poisoned
    if document.status.ended and not revives:
        raise _ended(document, "restart it, if it is to run again")


def _ended(document: StatusDocument, remedy: str) -> Refused:
    return Refused(
        "workflow_ended",
        f"{document.workflow_id!r} is {document.status.value}: {remedy}",
        status=409,
    )
