"""How a claim of an instance ends: each of these commits it and tells how the delivery goes on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Action, ControlCommand, ErrorInfo, Status
from shared.workflow.branch import main_position
from shared.workflow.children import notices_again, notices_of, orphans
from shared.workflow.codec import encode_result
from shared.workflow.controls import Decision
from shared.workflow.errors import (
    Interruption,
    NotYet,
    Parked,
    RetryLater,
    SegmentAborted,
    Suspended,
)
from shared.workflow.execution import Execution
from shared.workflow.records import Entry, Notice, OutboxMessage


async def park(execution: Execution, suspended: Suspended) -> Interruption:
    """Commits the instance as waiting, unless something has come for it meanwhile (rule 12).

    An early wake changes nothing: an uncommitted claim vanishes (rule 2).
    """
    segment, inbox = execution.root.segment, execution.inbox
    is_shown = execution.instance.status is Status.WAITING
    if is_shown and not (execution.claim.secured or execution.created or segment.entries):
        return NotYet()
    if suspended.machine_seconds is not None:
        # Nobody's lease: machine time has no other timer.
        await execution.claim.commit(
            segment, Status.RUNNING, lease_seconds=suspended.machine_seconds
        )
        return Parked()
    wake_at, retry = suspended.wake_at, suspended.retry
    settings = execution.settings
    by_redelivery = (
        retry is not None
        and retry.total_seconds() <= settings.longest_nak_seconds
        and not execution.clock.is_virtual
    )
    grace = timedelta(seconds=settings.nak_grace_seconds if by_redelivery else 0)
    await execution.claim.commit(
        segment,
        Status.WAITING,
        wake_at=wake_at,
        due_at=None if wake_at is None else wake_at + grace,
        unless=lambda: execution.controlled or inbox.holds(suspended.wanted),
    )
    if by_redelivery and retry is not None and wake_at is not None:
        return RetryLater(wake_at, retry.total_seconds())
    return Parked()


async def complete(execution: Execution, output: object) -> None:
    """Ends the instance with its output, unless a control has come first."""
    execution.instance.output = encode_result(output, "run()")
    await _finish(execution, Status.COMPLETE)


async def fail(execution: Execution, error: ErrorInfo) -> None:
    """Ends the instance errored; finished steps stay finished."""
    execution.instance.error = error
    await _finish(execution, Status.ERRORED)


async def roll_back(execution: Execution, ending: Status, error: ErrorInfo | None) -> Interruption:
    """Commits, before the first compensation, that there will be some, and why (rule 19)."""
    instance = execution.instance
    instance.rollback, instance.ending, instance.error = "running", ending, error
    await execution.claim.commit(execution.root.segment, Status.RUNNING, lease_seconds=0.0)
    return SegmentAborted()


async def end_rollback(execution: Execution, failed: list[ErrorInfo]) -> None:
    """Ends the instance after its compensations; one that failed for good is named."""
    instance = execution.instance
    instance.rollback = "failed" if failed else "complete"
    ending, instance.ending = instance.ending or Status.ERRORED, None
    if failed:
        instance.error = failed[0]
    await _finish(execution, Status.ERRORED if failed else ending, certain=True)


async def obey(execution: Execution, decision: Decision) -> Interruption | None:
    """Carries out what the inbox asks for; None where the run then simply goes on."""
    instance, segment = execution.instance, execution.root.segment
    execution.inbox.settle(decision.taken)
    segment.taken.extend(decision.taken)
    instance.control = decision.control
    instance.restart = decision.restart
    match decision.action:
        case Action.PAUSE:
            await execution.claim.commit(segment, Status.PAUSED)
            return Parked()
        case Action.TERMINATE:
            rollback = decision.command is not None and decision.command.rollback
            _terminate_children(execution, rollback=rollback)
            if rollback:
                return await roll_back(execution, Status.TERMINATED, None)
            await _finish(execution, Status.TERMINATED, certain=True)
            return Parked()
        case Action.RESTART:
            return await _restart(execution, decision.command)
        case Action.RESUME if instance.status.ended:
            # What poison ended; else the error is what compensations are for.
            instance.error = None
        case None if instance.is_paused:
            await execution.claim.commit(segment, Status.PAUSED)
            return Parked()
        case None if instance.status.ended:
            await execution.claim.commit(segment, instance.status)
            return Parked()
        case Action.RESUME | None:
            pass
    instance.finished_at = None
    await execution.claim.secure(progress=True)
    return None


def why_not(execution: Execution, decision: Decision) -> str | None:
    """What keeps a restart from a step from being carried out: a code for the dead letters."""
    command = decision.command
    if decision.action is not Action.RESTART or command is None or command.from_step is None:
        return None
    if not any(entry.name == command.from_step for entry in execution.journal.values()):
        return "unknown_step"
    # What is kept would be taken for done, though it was undone.
    return None if execution.instance.rollback is None else "rolled_back"


async def pause_for_mismatch(execution: Execution, error: ErrorInfo, wake_at: datetime) -> None:
    """Releases an instance that this build cannot follow, shown as paused (rule 22)."""
    await execution.discard(execution.root)
    if execution.instance.rollback != "running":
        # Else it would take the place of what the compensations are for.
        execution.instance.error = error
    await execution.claim.commit(
        execution.root.segment, Status.PAUSED, wake_at=wake_at, due_at=wake_at
    )


async def release(execution: Execution, *, progress: bool) -> None:
    """Gives up a committed claim at once instead of letting its lease run out, unless a call that
    nobody has heard of again still needs it."""
    await execution.discard(execution.root)
    if execution.claim.secured and execution.instance.status is Status.RUNNING:
        await execution.claim.commit(
            execution.root.segment,
            Status.RUNNING,
            lease_seconds=execution.claim.lease.held_seconds,
            progress=progress,
        )


async def give_back(execution: Execution) -> Interruption:
    """Commits what has gathered and leaves the instance to the next claim."""
    await execution.claim.commit(execution.root.segment, Status.RUNNING, lease_seconds=0.0)
    return SegmentAborted()


async def _finish(execution: Execution, status: Status, *, certain: bool = False) -> None:
    """The one place that writes terminal states; it tells the parent too (rule 24). Unless it is
    `certain`, a control that has come first keeps the instance from ending."""
    instance = execution.instance
    instance.finished_at = now = execution.clock.now()
    await execution.claim.commit(
        execution.root.segment,
        status,
        notices=notices_of(instance, status, now),
        unless=None if certain else lambda: execution.controlled,
    )


def _terminate_children(execution: Execution, *, rollback: bool) -> None:
    """Has those ended whose end the run has not been told, in the way of their parent."""
    instance = execution.instance
    for child in orphans(execution.journal.values()):
        command = ControlCommand(id=child.id, action=Action.TERMINATE, rollback=rollback)
        execution.root.segment.messages.append(
            OutboxMessage(
                id=f"terminate/{child}/{instance.key}/{instance.run}",
                subject=subjects.control(child.kind),
                headers={subjects.ACTOR: f"workflow:{instance.key}"},
                body=encode(command),
            )
        )


async def _restart(execution: Execution, command: ControlCommand | None) -> Interruption:
    """Begins the instance's next run; epoch, version and the last control are never reset."""
    instance, now = execution.instance, execution.clock.now()
    keep_before = None
    notices: list[Notice] = []
    if command is not None and command.from_step is not None:
        entries = execution.journal.values()
        keep_before = _place_of(command.from_step, entries)
        kept = {entry.key for entry in entries if main_position(entry) < keep_before}
        notices = notices_again(instance, entries, kept, now)
    instance.run += 1
    instance.started_at = now
    instance.output = instance.error = instance.finished_at = None
    instance.rollback = instance.ending = None
    await execution.claim.commit(
        execution.root.segment,
        Status.RUNNING,
        lease_seconds=0.0,
        keep_before=keep_before,
        notices=notices,
    )
    return SegmentAborted()


def _place_of(step: str, entries: Iterable[Entry]) -> int:
    """The place on the main path where the step, or the branches that hold it, begin."""
    return int(min(main_position(entry) for entry in entries if entry.name == step))
