"""Which workflow runs which kind, and how a message becomes a command for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import uuid5

import msgspec

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, encode, is_workflow_id
from shared.messages.decoding import decode
from shared.messages.problems import Refused
from shared.messages.workflows import Trigger, Wake
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import Undecodable
from shared.workflow.facts import NAMESPACE
from shared.workflow.records import InstanceKey, StartRequest

T = TypeVar("T", bound=Trigger)
T_contra = TypeVar("T_contra", bound=Trigger, contravariant=True)


class Workflow(Protocol[T_contra]):
    """A class of this shape is a workflow."""

    @property
    def kind(self) -> str: ...

    async def run(self, ctx: WorkflowContext, start: T_contra, /) -> object: ...


@dataclass(frozen=True)
class Registration:
    """A workflow and the trigger that starts it."""

    trigger: type[Trigger]
    workflow: Workflow[Any]

    @property
    def kind(self) -> str:
        """The kind that both carry."""
        return self.trigger.kind


def register(trigger: type[T], workflow: Workflow[T]) -> Registration:
    """A line of a service's registration list. Raises ValueError when the kinds differ."""
    if trigger.kind != workflow.kind:
        raise ValueError(
            f"{type(workflow).__name__} is of kind {workflow.kind!r}, "
            f"but {trigger.__name__} starts {trigger.kind!r}"
        )
    return Registration(trigger, workflow)


@dataclass(frozen=True)
class Command:
    """What a message asks for."""

    key: InstanceKey
    registration: Registration
    start: StartRequest | None
    status_revision: int | None = None


class Registry:
    """The workflows of one service."""

    def __init__(self, registrations: Iterable[Registration]):
        self._by_subject: dict[str, tuple[Registration, bool]] = {}
        for registration in registrations:
            kind = registration.kind
            if subjects.start(kind) in self._by_subject:
                raise ValueError(f"kind {kind!r} is registered twice")
            self._by_subject[subjects.start(kind)] = (registration, True)
            self._by_subject[subjects.wake(kind)] = (registration, False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of this service."""
        return tuple(entry.kind for entry, is_start in self._by_subject.values() if is_start)

    def trigger(self, kind: str) -> type[Trigger]:
        """The trigger of a registered kind."""
        return self._by_subject[subjects.start(kind)][0].trigger

    def command(
        self,
        subject: str,
        headers: Mapping[str, str],
        body: bytes,
        origin: str,
        now: datetime,
    ) -> Command:
        """The message as a command. Raises Undecodable with what is wrong and what to send."""
        found = self._by_subject.get(subject)
        if found is None:
            raise Undecodable(f"no workflow is registered for {subject}")
        registration, is_start = found
        if len(body) > MAX_CONTENT_BYTES:
            raise Undecodable(f"{len(body)} bytes; an input may have {MAX_CONTENT_BYTES}")
        try:
            if not is_start:
                wake = decode(body, Wake)
                return Command(InstanceKey(registration.kind, wake.id), registration, None)
            trigger = decode(body, registration.trigger)
        except Refused as refused:
            field = f"{refused.field}: " if refused.field else ""
            raise Undecodable(f"{field}{refused.detail}") from refused
        return Command(
            InstanceKey(registration.kind, instance_id(headers, trigger.id, origin)),
            registration,
            StartRequest(
                input=encode(trigger),
                created_at=_instant(headers, now),
                start_at=trigger.start_at,
                actor=headers.get(subjects.ACTOR, "nats"),
                idempotency_key=headers.get(subjects.IDEMPOTENCY_KEY),
                body_hash=headers.get(subjects.BODY_HASH),
            ),
            _revision(headers),
        )


def instance_id(headers: Mapping[str, str], in_body: str | None, origin: str) -> str:
    """The id of a start (rule 16): header, body, Nats-Msg-Id, else where the message stands.

    Raises Undecodable for a header that is none.
    """
    given = headers.get(subjects.WORKFLOW_ID)
    if given is not None:
        if not is_workflow_id(given):
            raise Undecodable(
                f"header {subjects.WORKFLOW_ID} is {given!r}; an id has 1 to 100 letters, digits, "
                "'_' or '-' and does not begin with '-'"
            )
        return given
    if in_body is not None:
        return in_body
    message_id = headers.get(subjects.MESSAGE_ID)
    if message_id is not None and is_workflow_id(message_id):
        return message_id
    return str(uuid5(NAMESPACE, message_id if message_id is not None else origin))


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
