"""What undoes one operation of a run, kept until it is known whether it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from shared.workflow.options import Options


@dataclass(frozen=True)
class Compensation:
    """Undoes what a step or call has done."""

    ordinal: int
    """Of the operation: what began last is undone first (engine rule 19)."""
    name: str
    operation: Literal["step", "call"]
    function: Callable[..., Awaitable[Any]]
    result: Any
    """What the operation returned; None where that is unknown."""
    options: Options
