"""What a workflow may raise or receive, and the interruptions that end a run from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.workflow.records import EntryKey


class NonRetryableError(Exception):
    """Raised by a step that would fail again: ends it at once, whatever its retry policy."""

    def __init__(self, code: str, message: str = ""):
        super().__init__(message or code.replace("_", " "))
        self.code = code


class NotSent(Exception):
    """Raised by a call that certainly had no effect: the next attempt needs no look-up first."""


class StepFailed(Exception):
    """A step or call failed for good. `run` may catch it and go on, or let it end the instance."""

    def __init__(self, step: str, name: str, message: str):
        super().__init__(f"{step}: {message}")
        self.step = step
        self.name = name
        self.message = message


class OutcomeUnknown(StepFailed):
    """Nobody can tell whether a call took effect: its `verify` said so, or there is none and no
    attempt was answered (engine rule 18)."""


class SignalTimeout(StepFailed):
    """No signal came in time."""


class ChildFailed(StepFailed):
    """A child ended errored or terminated, or could not begin."""


class Undecodable(Exception):
    """A message that cannot become a command; it belongs to the dead letters."""


@dataclass(frozen=True)
class Failure:
    """A step's failed attempt, before it is known whether another follows."""

    key: EntryKey
    attempt: int
    started_at: datetime
    error: Exception


class StepTimeout(Exception):
    """A step's body took longer than its time-out."""


class StepCancelled(Exception):
    """What a step's body awaited was cancelled, though not by the engine."""


class CallInterrupted(Exception):
    """An attempt of a call was begun, and nobody knows how it ended."""


class WorkflowMisuse(Exception):
    """The workflow's code breaks a rule of the engine; the message says which and what to do."""


class Transient(Exception):
    """An adapter's word for trouble that is not the step's: a lost connection, a deadlock, any
    error of COMMIT. It is no attempt; the run is dropped and replayed (engine rule 7)."""


class Interruption(BaseException):
    """Ends a run from outside.

    A BaseException, so that `except Exception` and `finally` in a workflow cannot act after the
    end (engine rule 20).
    """


class LostClaim(Interruption):
    """Another worker owns the instance now: nothing of this run may be kept or acknowledged."""


class Suspended(Interruption):
    """A path has nothing to do until an instant, or until something comes to the inbox.

    A branch may be suspended while others go on; the instance parks once all of them are.
    """

    def __init__(
        self,
        wake_at: datetime | None = None,
        *,
        wanted: frozenset[str] = frozenset(),
        retry: timedelta | None = None,
        machine_seconds: float | None = None,
    ):
        super().__init__()
        self.wake_at = wake_at
        """Business time; None for never."""
        self.wanted = wanted
        """What of the inbox it waits for."""
        self.retry = retry
        """Of a step's or call's next attempt: the delay before it."""
        self.machine_seconds = machine_seconds
        """Machine time that must go by first."""


class Stopped(Interruption):
    """A branch must begin nothing more, since another one has failed (rule 10)."""


class Controlled(Interruption):
    """A control waits to be obeyed at this boundary (rule 14)."""


class ReplayEnd(Interruption):
    """A replay for compensations has come to the first operation that was not begun (rule 19)."""


class Crowded(Interruption):
    """The instance must run alone in its process (rule 23)."""


class Parked(Interruption):
    """The instance waits, and is held by nobody."""


class RetryLater(Interruption):
    """A step failed and its next attempt comes with a redelivery of this message."""

    def __init__(self, wake_at: datetime, delay_seconds: float):
        super().__init__()
        self.wake_at = wake_at
        self.delay_seconds = delay_seconds


class NotYet(Interruption):
    """The run met a sleep or a retry whose instant has not come: nothing happens (rule 2)."""


class Dropped(Interruption):
    """Trouble that is no attempt: the run is given up and replayed from the journal (rule 7)."""


class SegmentAborted(Interruption):
    """A step failed inside a fused segment, or was left behind: the delivery runs again, one commit
    a step."""

    def __init__(self, failure: Failure | None = None):
        super().__init__()
        self.failure = failure


class JournalMismatch(Interruption):
    """The code does not follow the journal: another build wrote it (engine rule 22)."""

    def __init__(self, expected: str, found: str):
        super().__init__(f"the journal has {expected}, the code reached {found}")
        self.expected = expected
        self.found = found


class DeadContext(Interruption):
    """A workflow used its context after its run had been interrupted."""
