"""python -m tests.saga_table > docs/saga.md: the renewal saga's states and events as a table."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from services.billing.saga.state import Declined, Happen, Move, Saga, Sent
from tests.saga_walk import Passage, walk

ABOUT = """# The renewal saga: every state, every event

Written by `python -m tests.saga_table > docs/saga.md`, and compared with the code by a test: a
change of the machine shows here. What it decides is in `services/billing/saga`.

A state is the subscription, the invoice (`*`: disputed) and the last attempt with its refund. What
else decides (who asked for an attempt, whether automatic ones go on, the time) leads to several
entries in one cell. `-`: illegal, and nothing changes. `=`: the state stays, though its counts may
not. A number: the next state. "Next" is what the saga does of itself: a move that needs the
provider, an event that is due, or to wait.
"""


class Named(NamedTuple):
    """A state as a person tells it from the others."""

    subscription: str
    invoice: str
    attempt: str


def named(saga: Saga) -> Named:
    """Which state the saga is in."""
    invoice = saga.invoice.value + ("*" if saga.disputed else "")
    attempt = saga.attempt
    if attempt is None:
        return Named(saga.status.value, invoice, "")
    refund = f", refund {attempt.refund}" if attempt.refund else ""
    return Named(saga.status.value, invoice, attempt.state.value + refund)


def markdown() -> str:
    """The page."""
    return "\n".join(_lines(list(walk()))) + "\n"


def _lines(passages: list[Passage]) -> Iterator[str]:
    numbers: dict[Named, int] = {}
    moves: dict[Named, set[str]] = defaultdict(set)
    cells: dict[tuple[Named, str], set[str]] = defaultdict(set)
    for passage in passages:
        numbers.setdefault(named(passage.place.saga), len(numbers) + 1)
    for passage in passages:
        here = named(passage.place.saga)
        moves[here].add(_move(passage.place.move))
        there = None if passage.change is None else named(passage.change.saga)
        entry = "-" if there is None else "=" if there == here else str(numbers[there])
        cells[here, _event(passage)].add(entry)
    events = list(dict.fromkeys(map(_event, passages)))
    yield ABOUT
    yield _row("", "subscription", "invoice", "attempt", "next", *events)
    yield _row(*["---"] * (5 + len(events)))
    for state, number in numbers.items():
        entries = (" ".join(sorted(cells[state, event])) for event in events)
        yield _row(str(number), *state, ", ".join(sorted(moves[state])), *entries)


def _event(passage: Passage) -> str:
    event, attempt = passage.event, passage.place.saga.attempt
    name = type(event).__name__
    if isinstance(event, Declined):
        return f"{name} {event.kind}"
    if isinstance(event, Sent):
        last = 0 if attempt is None else attempt.number
        return f"{name} {'again' if event.number == last else 'anew'}"
    return name


def _move(move: Move) -> str:
    return type(move.event if isinstance(move, Happen) else move).__name__


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
