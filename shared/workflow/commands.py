"""How a message becomes a command for an instance: start, wake, signal or control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import uuid5

import msgspec

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, encode, is_workflow_id
from shared.messages.decoding import decode
from shared.messages.problems import Refused
from shared.messages.workflows import ControlCommand, SignalCommand, Wake
from shared.workflow import tracing
from shared.workflow.errors import Undecodable
from shared.workflow.facts import NAMESPACE
from shared.workflow.ports import Delivery
from shared.workflow.records import (
    InboxMessage,
    InstanceKey,
    Parent,
    StartRequest,
    StreamPosition,
)
from shared.workflow.registry import Registration, Registry

M = TypeVar("M")

BARE_PUBLISH = "nats"
"""The actor of a message that names none."""


@dataclass(frozen=True)
class Command:
    """What a message asks for."""

    key: InstanceKey
    registration: Registration
    start: StartRequest | None = None
    message: InboxMessage | None = None
    """A signal or control, for the instance's inbox."""
    status_revision: int | None = None

    def is_foreign(self, parent: Parent | None) -> bool:
        """Whether it starts a child whose id an instance with another parent, or none, has."""
        return self.start is not None and self.start.parent not in {None, parent}


def read(registry: Registry, delivery: Delivery, now: datetime) -> Command:
    """The message as a command. Raises Undecodable with what is wrong and what to send."""
    subject, headers, body = delivery.subject, delivery.headers, delivery.body
    kind, action, workflow_id = subjects.parts(subject)
    registration = registry.find(kind)
    if registration is None:
        raise Undecodable(f"no workflow is registered for {subject}")
    if len(body) > MAX_CONTENT_BYTES:
        raise Undecodable(f"{len(body)} bytes; an input may have {MAX_CONTENT_BYTES}")
    if action == "wake":
        return Command(InstanceKey(kind, _decode(body, Wake).id), registration)
    if action == "signal":
        message = read_signal(registration, headers, body, delivery.position, now)
        return Command(_key(kind, workflow_id), registration, message=message)
    if action == "control":
        control = _decode(body, ControlCommand)
        message = _control(control, headers, delivery.position, now)
        return Command(InstanceKey(kind, control.id), registration, message=message)
    trigger = _decode(body, registration.trigger)
    return Command(
        InstanceKey(kind, instance_id(headers, trigger.id, delivery.origin)),
        registration,
        start=StartRequest(
            input=encode(trigger),
            created_at=_instant(headers, now),
            start_at=trigger.start_at,
            actor=headers.get(subjects.ACTOR, BARE_PUBLISH),
            idempotency_key=headers.get(subjects.IDEMPOTENCY_KEY),
            body_hash=headers.get(subjects.BODY_HASH),
            parent=_known_parent(registry, headers),
            trace=tracing.outgoing().get(subjects.TRACEPARENT),
        ),
        status_revision=_revision(headers),
    )


def read_signal(
    registration: Registration,
    headers: Mapping[str, str],
    body: bytes,
    position: StreamPosition,
    now: datetime,
) -> InboxMessage:
    """A signal for the inbox. Raises Undecodable when the workflow waits for nothing like it."""
    command = _decode(body, SignalCommand)
    known = {signal.type: signal for signal in registration.trigger.signals}
    signal = known.get(command.type)
    if signal is None:
        names = ", ".join(sorted(known)) or "no signals"
        raise Undecodable(f"type: {command.type!r} is unknown; {registration.kind} takes {names}")
    _decode(bytes(command.payload), signal, "payload")
    return InboxMessage(
        message_id=command.id or headers.get(subjects.MESSAGE_ID) or _name(position),
        category="signal",
        type=command.type,
        payload=bytes(command.payload),
        actor=headers.get(subjects.ACTOR, BARE_PUBLISH),
        position=position,
        created_at=now,
    )


def parent_of(headers: Mapping[str, str]) -> Parent | None:
    """Who started a child. Raises Undecodable."""
    text = headers.get(subjects.PARENT)
    try:
        return None if text is None else Parent.parse(text)
    except ValueError as error:
        raise Undecodable(f"header {subjects.PARENT}: {error}") from error


def _known_parent(registry: Registry, headers: Mapping[str, str]) -> Parent | None:
    parent = parent_of(headers)
    if parent is not None and registry.find(parent.kind) is None:
        raise Undecodable(
            f"header {subjects.PARENT}: this service runs no {parent.kind}, so nobody would hear"
        )
    return parent


def _control(
    control: ControlCommand, headers: Mapping[str, str], position: StreamPosition, now: datetime
) -> InboxMessage:
    return InboxMessage(
        # By its place: the same request may well be made again, after another one.
        message_id=_name(position),
        category="control",
        type=control.action,
        payload=encode(control),
        actor=headers.get(subjects.ACTOR, BARE_PUBLISH),
        position=position,
        created_at=now,
    )


def _decode(body: bytes, message: type[M], place: str = "") -> M:
    try:
        return decode(body, message)
    except Refused as refused:
        field = ".".join(part for part in (place, refused.field) if part)
        raise Undecodable(f"{field}: {refused.detail}" if field else refused.detail) from refused


def _key(kind: str, workflow_id: str) -> InstanceKey:
    if not is_workflow_id(workflow_id):
        raise Undecodable(f"{workflow_id!r} is no id of an instance: {ID_RULE}")
    return InstanceKey(kind, workflow_id)


def instance_id(headers: Mapping[str, str], in_body: str | None, origin: str) -> str:
    """The id of a start (rule 16): header, body, Nats-Msg-Id, else where the message stands.

    Raises Undecodable for a header that is none.
    """
    given = headers.get(subjects.WORKFLOW_ID)
    if given is not None:
        if not is_workflow_id(given):
            raise Undecodable(f"header {subjects.WORKFLOW_ID} is {given!r}; {ID_RULE}")
        return given
    if in_body is not None:
        return in_body
    message_id = headers.get(subjects.MESSAGE_ID)
    if message_id is not None and is_workflow_id(message_id):
        return message_id
    return str(uuid5(NAMESPACE, message_id if message_id is not None else origin))


ID_RULE = "an id has 1 to 100 letters, digits, '_' or '-' and does not begin with '-'"


def _name(position: StreamPosition) -> str:
    return f"{position.stream_created}/{position.sequence}"


def _instant(headers: Mapping[str, str], now: datetime) -> datetime:
    text = headers.get(subjects.CREATED_AT)
    if text is None:
        return now
    try:
        created_at = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise Undecodable(f"header {subjects.CREATED_AT}: {error}") from error
    if created_at.tzinfo is None:
        raise Undecodable(f"header {subjects.CREATED_AT} needs a UTC offset")
    return created_at


def _revision(headers: Mapping[str, str]) -> int | None:
    # Only a hint that spares a read, so a malformed one is worth no dead letter.
    text = headers.get(subjects.STATUS_REVISION, "")
    return int(text) if text.isascii() and text.isdigit() else None
