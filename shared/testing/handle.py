"""An instance as a test holds it: what was last committed of it, and what may be sent to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import (
    Action,
    ControlCommand,
    ErrorInfo,
    Signal,
    SignalCommand,
    Status,
    StatusDocument,
    StepStatus,
)
from shared.workflow.codec import decode_result
from shared.workflow.errors import WorkflowMisuse
from shared.workflow.records import InstanceKey
from shared.workflow.registry import Registration

Send = Callable[[str, bytes], Awaitable[None]]
"""Publishes on a subject, and returns once all that follows from it has been done."""


class Handle:
    """One instance. It shows what it was when the harness's last method returned."""

    def __init__(self, key: InstanceKey, registration: Registration, send: Send):
        self.key = key
        self._registration = registration
        self._send = send
        self._document: StatusDocument | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return self.key.id

    def show(self, document: StatusDocument | None) -> None:
        """Takes note of what was committed; None where there is no such instance."""
        self._document = document

    # -- what it is -----------------------------------------------------------------------------

    @property
    def document(self) -> StatusDocument:
        """All that a caller may see. Raises AssertionError when there is no such instance."""
        if self._document is None:
            raise AssertionError(f"there is no instance {self.key}: nothing has started it")
        return self._document

    @property
    def status(self) -> str:
        """Where it stands, in the words of Status; a str, which type checkers do not narrow when a
        test asserts one status after the other."""
        return self.document.status

    @property
    def output(self) -> Any:
        """What `run` returned, by its annotation. Raises AssertionError until it is complete."""
        if self.document.status is not Status.COMPLETE:
            raise AssertionError(f"there is no output: {self!r}")
        try:
            return decode_result(self.document.output, self._registration.workflow.run)
        except WorkflowMisuse:
            return msgspec.json.decode(self.document.output)

    @property
    def error(self) -> ErrorInfo:
        """Why it ended errored, or is paused by the engine. Raises AssertionError where it is
        neither."""
        if self.document.error is None:
            raise AssertionError(f"there is no error: {self!r}")
        return self.document.error

    @property
    def wake_at(self) -> datetime | None:
        """When it goes on by itself, in business time."""
        return self.document.wake_at

    @property
    def steps(self) -> tuple[StepStatus, ...]:
        """Its operations, as they began."""
        return self.document.steps

    @property
    def completed(self) -> tuple[str, ...]:
        """Names of the steps and calls that are done."""
        return self.document.completed_steps

    def step(self, name: str) -> StepStatus:
        """The last operation of that name. Raises AssertionError where there is none."""
        for step in reversed(self.steps):
            if step.name == name:
                return step
        raise AssertionError(f"no operation {name!r} has begun: {self!r}")

    # -- what is asked of it --------------------------------------------------------------------

    async def signal(self, signal: Signal) -> None:
        """Sends a signal."""
        command = SignalCommand(type=signal.type, payload=msgspec.Raw(encode(signal)))
        await self._send(subjects.signal(*self.key), encode(command))

    async def pause(self) -> None:
        """Asks it to pause at its next boundary."""
        await self._control(Action.PAUSE)

    async def resume(self) -> None:
        """Lets it go on."""
        await self._control(Action.RESUME)

    async def terminate(self, *, rollback: bool = False) -> None:
        """Ends it; with `rollback` what is done is undone first."""
        await self._control(Action.TERMINATE, rollback=rollback)

    async def restart(self, *, from_step: str | None = None) -> None:
        """Begins its next run, from the top or with what was done before a step."""
        await self._control(Action.RESTART, from_step=from_step)

    async def _control(
        self, action: Action, *, rollback: bool = False, from_step: str | None = None
    ) -> None:
        command = ControlCommand(
            id=self.key.id, action=action, rollback=rollback, from_step=from_step
        )
        await self._send(subjects.control(self.key.kind), encode(command))

    def __repr__(self) -> str:
        document = self._document
        if document is None:
            return f"<{self.key}: no such instance>"
        until = f" until {document.wake_at:%Y-%m-%d %H:%M:%S}" if document.wake_at else ""
        error = f" ({_reason(document.error)})" if document.error else ""
        steps = ", ".join(map(_describe, document.steps)) or "nothing begun"
        return f"<{self.key}: {document.status}{until}{error}; {steps}>"


def _describe(step: StepStatus) -> str:
    tries = f" after {step.attempts} attempts" if step.attempts > 1 else ""
    error = f" ({_reason(step.error)})" if step.error else ""
    return f"{step.name} {step.status}{tries}{error}"


def _reason(error: ErrorInfo) -> str:
    return f"{error.name}: {error.message}"
