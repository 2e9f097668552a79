"""Which workflow runs which kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from shared.messages.workflows import Trigger
from shared.workflow.context import WorkflowContext

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


class Registry:
    """The workflows of one service."""

    def __init__(self, registrations: Iterable[Registration]):
        self._by_kind: dict[str, Registration] = {}
        for registration in registrations:
            if registration.kind in self._by_kind:
                raise ValueError(f"kind {registration.kind!r} is registered twice")
            self._by_kind[registration.kind] = registration

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of this service."""
        return tuple(self._by_kind)

    def find(self, kind: str) -> Registration | None:
        """The registration of a kind."""
        return self._by_kind.get(kind)

    def trigger(self, kind: str) -> type[Trigger]:
        """The trigger of a registered kind."""
        return self._by_kind[kind].trigger
