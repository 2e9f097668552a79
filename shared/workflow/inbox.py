"""The unread inbox of one instance, as its owner has read it; and what becomes of strays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import TRIGGERS, SignalCommand
from shared.workflow.controls import Decision, decide
from shared.workflow.records import DeadLetter, InboxMessage, Instance, InstanceKey


class Inbox:
    """Signals, controls and notices that no commit has taken yet (engine rule 12).

    It is read only when there is a reason: a claim or a commit says what lies there.
    """

    def __init__(
        self, instance: Instance, read: Callable[[], Awaitable[list[InboxMessage]]], *, unread: bool
    ):
        self._instance = instance
        self._read = read
        self._stale = unread
        self._messages: list[InboxMessage] = []
        self._taken: set[int] = set()

    def notice(self, unread: Collection[int]) -> None:
        """Takes note of what a commit has found there."""
        known = {message.seq for message in self._messages} | self._taken
        self._stale = self._stale or not known.issuperset(unread)

    async def refresh(self, *, always: bool = False) -> None:
        """Reads what is new. Raises Transient."""
        if self._stale or always:
            self._stale = False
            found = await self._read()
            self._messages = [each for each in found if each.seq not in self._taken]

    @property
    def decision(self) -> Decision:
        """What the controls ask for."""
        return decide(self._instance, self._messages)

    @property
    def acts(self) -> bool:
        """Whether a control is to be obeyed, or put away."""
        return bool(self._messages) and self.decision.acts

    @property
    def may_hold(self) -> bool:
        """Whether anything waits, as far as is known."""
        return self._stale or bool(self._messages)

    def holds(self, wanted: Collection[str]) -> bool:
        """Whether something of these types waits, as `wanted` names it."""
        return any(name_of(message) in wanted for message in self._messages)

    def take(self, wanted: str) -> InboxMessage | None:
        """The first message of that name; it is nobody else's from now on."""
        for message in self._messages:
            if name_of(message) == wanted:
                self.settle([message.seq])
                return message
        return None

    def find(self, seq: int) -> InboxMessage | None:
        """The message with that number, as long as it waits."""
        return next((message for message in self._messages if message.seq == seq), None)

    def settle(self, seqs: Iterable[int]) -> None:
        """Takes messages out that the next commit marks as read."""
        self._taken.update(seqs)
        self._messages = [each for each in self._messages if each.seq not in self._taken]


def signal_name(signal_type: str) -> str:
    """How a wait names the signals of a type."""
    return f"signal/{signal_type}"


def notice_name(child: str, run: int) -> str:
    """How a wait names the notice of a child; that of an older run is another one's (rule 14)."""
    return f"notice/{child}/{run}"


def name_of(message: InboxMessage) -> str:
    """What a wait calls the message."""
    return f"{message.category}/{message.type}"


DETAILS = {
    "workflow_ended": "has ended",
    "workflow_not_found": "never came",
    "unknown_step": "has no such step in its journal",
    "rolled_back": "has undone its steps: restart it without `fromStep`",
}


def stray_letter(key: InstanceKey, message: InboxMessage, reason: str) -> DeadLetter | None:
    """A signal or control that nobody will read; a notice that nobody waits for is no loss, nor is
    a wake of what has ended."""
    if message.category == "notice" or (reason == "workflow_ended" and _is_wake(key, message)):
        return None
    if message.category == "signal":
        subject = subjects.signal(key.kind, key.id)
        body = encode(SignalCommand(type=message.type, payload=msgspec.Raw(message.payload)))
    else:
        subject = subjects.control(key.kind)
        body = message.payload
    return DeadLetter(
        origin=f"inbox/{message.seq}",
        subject=subject,
        headers={} if message.actor is None else {subjects.ACTOR: message.actor},
        body=body,
        reason=reason,
        detail=f"{key} {DETAILS[reason]}",
        at=message.created_at,
    )


def _is_wake(key: InstanceKey, message: InboxMessage) -> bool:
    trigger = TRIGGERS.get(key.kind)
    signals = () if trigger is None else trigger.signals
    return message.category == "signal" and any(
        each.is_wake and each.type == message.type for each in signals
    )
