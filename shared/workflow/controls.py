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
    restart: StreamPosition | None = None
    """The last restart that was obeyed."""
    command: ControlCommand | None = None
    """Of terminate and restart: how."""

    @property
    def acts(self) -> bool:
        """Whether there is anything to commit for it."""
        return bool(self.taken)


def decide(instance: Instance, messages: Iterable[InboxMessage]) -> Decision:
    """What the instance is to do next, its controls taken in the order of their stream.

    A terminate, a restart and the resume of what has ended end the decision: what comes after
    meets the instance that they leave. An older pause or resume is ignored, and so is what finds
    nothing to do. A terminate or restart that stood before the restart of the present run meant a
    run before it, though a slow replica has stored it later. While compensations run, which are
    not left half done, a restart waits, and a terminate behind it.
    """
    control, restart = instance.control, instance.restart
    ended = instance.status.ended
    undoing = instance.rollback == "running" and not ended
    waits = False
    last: Action | None = None
    taken: list[int] = []
    for message in sorted(messages, key=lambda each: (each.position, each.seq)):
        if message.category != "control":
            continue
        action = Action(message.type)
        is_final = action in {Action.TERMINATE, Action.RESTART}
        if is_final and restart is not None and message.position < restart:
            taken.append(message.seq)
            continue
        waits = waits or (undoing and action is Action.RESTART)
        if is_final and waits:
            continue
        taken.append(message.seq)
        if action is Action.TERMINATE and (ended or undoing):
            continue
        newer = control is None or message.position > control
        if is_final:
            return Decision(
                action=action,
                taken=tuple(taken),
                # A pause that was asked for before a restart does not stop the new run.
                control=message.position if newer else control,
                restart=message.position if action is Action.RESTART else restart,
                command=msgspec.json.decode(message.payload, type=ControlCommand),
            )
        if newer:
            control = message.position
            last = _effect(instance, action)
        if ended and last is Action.RESUME:
            break
    return Decision(action=last, taken=tuple(taken), control=control, restart=restart)


def _effect(instance: Instance, action: Action) -> Action | None:
    """A pause or resume as far as it changes the instance."""
    if instance.status.ended:
        poisoned = instance.error is not None and instance.error.name == POISONED
        return action if action is Action.RESUME and poisoned else None
    if action is Action.RESUME and instance.status is not Status.PAUSED:
        return None
    return action
