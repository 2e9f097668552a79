"""What the controls in an inbox ask for together: a pure decision (engine rules 13 and 14)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.messages.workflows import Action, ControlCommand, Status
from shared.workflow.records import InboxMessage, Instance, StreamPosition

POISONED = "poisoned"
"""Name of the error that a resume takes back: the instance goes on from its journal."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The next thing to do, and which controls are settled by it."""

    action: Action | None = None
    taken: tuple[int, ...] = ()
    control: StreamPosition | None = None
    """The last pause or resume that was obeyed."""
    command: ControlCommand | None = None
    """Of terminate and restart: how."""

    @property
    def acts(self) -> bool:
        """Whether there is anything to commit for it."""
        return bool(self.taken)


def decide(instance: Instance, messages: Iterable[InboxMessage]) -> Decision:
    """What the instance is to do next, its controls taken in the order of their stream.

    A terminate or restart ends the decision: what comes after it meets the instance that it
    leaves. An older pause or resume is ignored, and so is what finds nothing to do.
    """
    control = instance.control
    ended = instance.status.ended
    last: Action | None = None
    taken: list[int] = []
    for message in sorted(messages, key=lambda each: (each.position, each.seq)):
        if message.category != "control":
            continue
        action = Action(message.type)
        if action is Action.RESTART and instance.rollback == "running" and not ended:
            # Compensations are not left half done: it is obeyed once they are.
            break
        taken.append(message.seq)
        if action is Action.TERMINATE and (ended or instance.rollback == "running"):
            continue
        if action in {Action.TERMINATE, Action.RESTART}:
            return Decision(
                action=action,
                taken=tuple(taken),
                control=control,
                command=msgspec.json.decode(message.payload, type=ControlCommand),
            )
        if control is None or message.position > control:
            control = message.position
            last = _effect(instance, action)
    return Decision(action=last, taken=tuple(taken), control=control)


def _effect(instance: Instance, action: Action) -> Action | None:
    """A pause or resume as far as it changes the instance."""
    if instance.status.ended:
        poisoned = instance.error is not None and instance.error.name == POISONED
        return action if action is Action.RESUME and poisoned else None
    if action is Action.RESUME and instance.status is not Status.PAUSED:
        return None
    return action
