"""What a storm will do: drawn whole from its seed, before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

FEWEST_KILLS = 20
KILLS_PER_SECOND = 1.0
FREEZES_PER_SECOND = 0.2
SHORTEST_FREEZE_SECONDS = 2.5
LONGEST_FREEZE_SECONDS = 4.0
"""Longer than a lease, so that others take over what the frozen process goes on with; shorter than
the grace of a call, within which nothing that was sent may still arrive."""
FEWEST_OF_NATS = 6
SECONDS_PER_BLOW_OF_NATS = 8.0
"""Rarer, or the nodes do nothing but elect a leader, which takes them some seconds."""
LOSS = (0.4, 0.6)
"""The share of its time after which a storm takes all data of NATS."""
CALM = (0.02, 0.95)
"""Before and after these shares of its time a storm leaves everybody alone."""


class Blow(NamedTuple):
    """Something that will happen to a process."""

    at_seconds: float
    kind: str
    """kill (with -9), restart, or freeze; leader: kills whichever node leads the stream that is
    the victim; loss: all nodes of NATS lose all their data."""
    victim: str
    seconds: float = 0.0
    """How long a freeze lasts."""

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at_seconds:6.2f} s  {self.kind} {self.victim}{lasting}"


class Victims(NamedTuple):
    """Names of what may be hit."""

    services: tuple[str, ...]
    nodes: tuple[str, ...]
    postgres: str
    streams: tuple[str, ...]
    """Whose leaders are killed."""


def schedule(seed: int, seconds: float, victims: Victims) -> tuple[Blow, ...]:
    """The blows of a storm of that length, in order; the same for the same arguments."""
    random = Random(seed)
    blows = [
        Blow(random.uniform(*LOSS) * seconds, "loss", "nats"),
        *_of_nats(random, seconds, victims),
        *_of_the_rest(random, seconds, victims),
    ]
    return tuple(sorted(blows))


def _of_nats(random: Random, seconds: float, victims: Victims) -> Iterator[Blow]:
    """One blow in each stretch of time; every other one for a leader."""
    begin, end = CALM[0] * seconds, CALM[1] * seconds
    number = max(FEWEST_OF_NATS, round((end - begin) / SECONDS_PER_BLOW_OF_NATS))
    stretch = (end - begin) / number
    others = _shuffled(random, ("kill", "restart", "freeze"), number // 2)
    for place in range(number):
        at = begin + (place + random.random()) * stretch
        if place % 2 == 0:
            yield Blow(at, "leader", random.choice(victims.streams))
        else:
            yield _blow(random, at, others[place // 2], random.choice(victims.nodes))


def _of_the_rest(random: Random, seconds: float, victims: Victims) -> Iterator[Blow]:
    """Kills, a restart in ten, and freezes; services more often, most of what can go wrong is
    theirs."""
    hits = max(FEWEST_KILLS, round(seconds * KILLS_PER_SECOND))
    kinds = _shuffled(random, (*("kill",) * 9, "restart"), hits)
    kinds += ["freeze"] * round(seconds * FREEZES_PER_SECOND)
    for place, kind in enumerate(kinds):
        at = random.uniform(*CALM) * seconds
        name = victims.postgres if place % 5 == 0 else random.choice(victims.services)
        yield _blow(random, at, kind, name)


def _blow(random: Random, at: float, kind: str, victim: str) -> Blow:
    lasting = random.uniform(SHORTEST_FREEZE_SECONDS, LONGEST_FREEZE_SECONDS)
    return Blow(at, kind, victim, lasting if kind == "freeze" else 0.0)


def _shuffled(random: Random, kinds: Sequence[str], number: int) -> list[str]:
    """So many kinds in any order, each as often as its share has it."""
    repeated = [kinds[place % len(kinds)] for place in range(number)]
    random.shuffle(repeated)
    return repeated
