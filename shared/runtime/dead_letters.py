"""Requests about dead letters, which every service answers (engine rule 27)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

import msgspec

from shared.messages import dead_letters as messages
from shared.messages import subjects
from shared.messages.base import Message, WorkflowId, encode
from shared.messages.dead_letters import (
    ByDeadLetter,
    DeadLetters,
    DeadLettersQuery,
    DiscardDeadLetter,
    ReplayDeadLetter,
)
from shared.messages.problems import Refused
from shared.messages.workflows import Action, ControlCommand
from shared.postgres.dead_letters import DeadLetterStore, KeptLetter
from shared.runtime.handling import AnyHandler, Handler, Work
from shared.workflow.commands import instance_id
from shared.workflow.errors import Undecodable
from shared.workflow.records import DeadLetter, InstanceKey, OutboxMessage

READ_BY_NATS = "Nats-"
"""How the headers begin that a server acts upon: with them it would refuse the message as one that
it has had, or as out of order."""


class _Named(Message, frozen=True, kw_only=True):
    """What bodies of starts and wakes have in common."""

    id: WorkflowId | None = None


async def dead_letters(work: Work, query: DeadLettersQuery) -> DeadLetters:
    """What lies there, newest first."""
    found = await DeadLetterStore(work.connection).page(query, query.limit + 1)
    kept = found[: query.limit]
    more = len(found) > len(kept)
    return DeadLetters(dead_letters=tuple(kept), next_cursor=kept[-1].id if more else None)


async def dead_letter(work: Work, request: ByDeadLetter) -> messages.DeadLetter:
    """One, as it came."""
    kept = await DeadLetterStore(work.connection).find(request.id)
    return _view(_found(kept, request.id))


QUERIES: tuple[AnyHandler, ...] = (
    Handler("dead_letters", DeadLettersQuery, dead_letters),
    Handler("dead_letter", ByDeadLetter, dead_letter),
)


class DeadLetterCommands:
    """Settles dead letters, one method a command."""

    def __init__(self, service: str, kinds: Iterable[str]):
        self._service = service
        self._starts = {subjects.start(kind): kind for kind in kinds}
        self._wakes = {subjects.wake(kind): kind for kind in kinds}

    def handlers(self) -> tuple[AnyHandler, ...]:
        """As a service takes them."""
        return (
            Handler("replay_dead_letter", ReplayDeadLetter, self.replay),
            Handler("discard_dead_letter", DiscardDeadLetter, self.discard),
        )

    async def replay(self, work: Work, request: ReplayDeadLetter) -> messages.DeadLetter:
        """Publishes it again, if and only if that it was is kept."""
        kept = await self._hold(work, request.id)
        work.send(await self._again(work, kept))
        return await self._settle(work, request.id, "replayed")

    async def discard(self, work: Work, request: DiscardDeadLetter) -> messages.DeadLetter:
        """Says that nothing more will be done about it."""
        await self._hold(work, request.id)
        return await self._settle(work, request.id, "discarded")

    async def _hold(self, work: Work, letter_id: int) -> KeptLetter:
        kept = _found(await DeadLetterStore(work.connection).hold(letter_id), letter_id)
        if kept.summary.settlement is not None:
            raise Refused(
                "dead_letter_settled",
                f"it was {kept.summary.settlement} by {kept.summary.settled_by}: what fails again "
                "is a dead letter of its own",
                status=409,
                field="id",
            )
        return kept

    async def _settle(self, work: Work, letter_id: int, settlement: str) -> messages.DeadLetter:
        store = DeadLetterStore(work.connection)
        await store.settle(letter_id, settlement, work.now, work.actor)
        return _view(_found(await store.find(letter_id), letter_id))

    async def _again(self, work: Work, kept: KeptLetter) -> OutboxMessage:
        """What is published: the message itself, or the resume of the instance that it is about."""
        letter = kept.letter
        # An id of its own: the old one would be swallowed as a repetition, and none at all would
        # make two messages of one that the outbox publishes twice.
        new_id = f"replay.{self._service}.{kept.summary.id}"
        key = self._instance(letter)
        if letter.reason == "poisoned" and key is not None:
            retired = await DeadLetterStore(work.connection).is_retired(key)
            if retired:
                raise Refused(
                    "workflow_retired",
                    f"the journal of {key} is no longer kept: discard this, and start another",
                    status=409,
                    field="id",
                )
            if retired is not None:
                return OutboxMessage(
                    id=new_id,
                    subject=subjects.control(key.kind),
                    headers={subjects.ACTOR: work.actor},
                    body=encode(ControlCommand(id=key.id, action=Action.RESUME)),
                )
        headers = {
            name: value
            for name, value in letter.headers.items()
            if not name.startswith(READ_BY_NATS) and name != subjects.STATUS_REVISION
        }
        if key is not None and letter.subject in self._starts:
            # It stays the same instance, also where its id was that of the message.
            headers[subjects.WORKFLOW_ID] = key.id
        return OutboxMessage(id=new_id, subject=letter.subject, headers=headers, body=letter.body)

    def _instance(self, letter: DeadLetter) -> InstanceKey | None:
        """The instance of a start or a wake, as far as it can be told."""
        try:
            in_body = msgspec.json.decode(letter.body, type=_Named).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            in_body = None
        if (kind := self._starts.get(letter.subject)) is not None:
            try:
                return InstanceKey(kind, instance_id(letter.headers, in_body, letter.origin))
            except Undecodable:
                return None
        kind = self._wakes.get(letter.subject)
        return None if kind is None or in_body is None else InstanceKey(kind, in_body)


def _found(kept: KeptLetter | None, letter_id: int) -> KeptLetter:
    if kept is None:
        raise Refused(
            "dead_letter_not_found",
            f"there is no dead letter {letter_id}",
            status=404,
            field="id",
        )
    return kept


def _view(kept: KeptLetter) -> messages.DeadLetter:
    letter = kept.letter
    is_json = _is_json(letter.body)
    return messages.DeadLetter(
        **msgspec.structs.asdict(kept.summary),
        origin=letter.origin,
        headers=letter.headers,
        body=msgspec.Raw(letter.body if is_json else b"null"),
        body_base64=None if is_json else b64encode(letter.body).decode(),
    )


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
