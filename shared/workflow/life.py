"""What ends a run before its code does, and keeps that code from going on (engine rule 20)."""

from __future__ import annotations

from typing import TypeVar

from shared.workflow.errors import DeadContext, Interruption, WorkflowMisuse

I = TypeVar("I", bound=Interruption)  # noqa: E741 - an interruption


class Life:
    """That of one run, over all its paths."""

    def __init__(self) -> None:
        self._interruption: Interruption | None = None
        self._misuse: WorkflowMisuse | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether all paths have been ended."""
        return self._interruption is not None

    def check(self) -> None:
        """Raises DeadContext once the run has been interrupted, WorkflowMisuse once it has been
        misused."""
        if self._interruption is not None:
            raise DeadContext
        self.raise_if_misused()

    def interrupted(self, interruption: I) -> I:
        """Ends all paths; the caller raises what is returned."""
        self._interruption = self._interruption or interruption
        return interruption

    def raise_if_interrupted(self) -> None:
        """Keeps a workflow that caught an interruption from going on."""
        if self._interruption is not None:
            raise self._interruption

    def misused(self, misuse: WorkflowMisuse) -> WorkflowMisuse:
        """Ends the run as an error of its code; the caller may raise what is returned."""
        self._misuse = self._misuse or misuse
        return misuse

    def raise_if_misused(self) -> None:
        """Keeps a run that caught the error from going on: a replay, in which what is finished
        takes no time, might never meet it again."""
        if self._misuse is not None:
            raise self._misuse
