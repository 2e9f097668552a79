"""What happens to a generated workflow: in business time by a script, and to its processes."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Signalled(NamedTuple):
    """Somebody sends the root a signal so long after the beginning, or before there is a root."""

    seconds: float
    by: str


class Told(NamedTuple):
    """Somebody ends the root, or starts it again, once all has come to rest at that instant."""

    seconds: float
    action: Literal["terminate", "restart"]
    rollback: bool = False


Script = tuple[Signalled | Told, ...]
"""What happens in business time, whatever happens to the processes."""


class Cutting(NamedTuple):
    """The process dies at a point of this delivery."""

    delivery: int
    point: int


class Freezing(NamedTuple):
    """The process stands still at a point of this delivery, while others carry out some more;
    where it is long, any lease of its own runs out before they do."""

    delivery: int
    point: int
    others: int
    long: bool


class Doubling(NamedTuple):
    """The acknowledgement of this delivery gets lost."""

    delivery: int


class Waking(NamedTuple):
    """All instances are woken after this delivery, for nothing."""

    delivery: int


class Resending(NamedTuple):
    """The sender of a signal sends it again after this delivery."""

    delivery: int


class Pausing(NamedTuple):
    """The root is paused after this delivery, and resumed some deliveries later."""

    delivery: int
    others: int


class Ending(NamedTuple):
    """The root is terminated with rollback after this delivery: then it may end differently."""

    delivery: int


Disturbance = Cutting | Freezing | Doubling | Waking | Resending | Pausing | Ending
"""Deliveries are counted from 0, points within each of them."""
