"""What must be true of trips once a storm is over: by the effect log, and by the world's books."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import ClassVar, NamedTuple

import asyncpg
import msgspec
from nats.aio.client import Client

from shared.messages.events import EventEnvelope
from tests.faults.outside import Outside
from tests.faults.travel import SERVICE, TripReport
from tests.faults.travellers import Travellers, Trip
from tests.faults.witness import Witness, complain, differ

UNDOABLE: Counter[str] = Counter(("pack", "left", "right"))
DEEDS = Counter(("ticket", "meal"))
UNDO = "undo "

INSTANCES = """
    SELECT i.id, i.kind, i.status, i.rollback, i.output::text, i.error->>'name' AS error, i.parent,
           (SELECT array_agg(e.step ORDER BY e.id) FROM effects AS e WHERE e.workflow_id = i.id)
               AS effects
    FROM workflow_instances AS i
"""


class Ended(NamedTuple):
    """An instance, and all it did."""

    id: str
    kind: str
    status: str
    rollback: str | None
    output: str | None
    error: str | None
    steps: Counter[str]
    undone_steps: Counter[str]
    deeds: Counter[str]
    undone_deeds: Counter[str]


class TravelWitness(Witness):
    """Compares what travellers asked for with what their trips did, within and without."""

    nothing_found: ClassVar = {
        # A signal or control that its instance has ended without is the only kind there may be.
        "dead letters": """
            SELECT subject, reason, detail FROM dead_letters WHERE reason <> 'workflow_ended'""",
        "operations without an end in instances that are complete": """
            SELECT j.id, j.name, j.type, j.state FROM workflow_journal AS j
            JOIN workflow_instances AS i USING (kind, id)
            WHERE i.status = 'complete' AND j.state <> 'complete'""",
        "sleeps that ended early": """
            SELECT id, name, due_at, finished_at FROM workflow_journal
            WHERE type = 'sleep' AND finished_at < due_at""",
    }

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        client: Client,
        travellers: Travellers,
        outside: Outside,
    ):
        super().__init__(SERVICE, pool, client)
        self._travellers = travellers
        self._outside = outside

    async def _own(self, events: list[EventEnvelope]) -> list[str]:
        ended = await self._ended()
        trips = {each.id: each for each in ended if each.kind == "trip"}
        accepted = self._travellers.trips
        found = differ("trips", trips, accepted)
        found += complain("trips that were not seen to end", self._travellers.stranded)
        found += self._books()
        found += await self._facts(events)
        found += [
            f"{trips[each].status} trip {each} ({accepted[each].fate}): {fault}"
            for each in sorted(trips.keys() & accepted.keys())
            for fault in faults(accepted[each], trips[each])
        ]
        found += [
            f"{each.status} errand {each.id}: {fault}"
            for each in ended
            if each.kind == "errand"
            for fault in _errand_faults(each)
        ]
        return found

    async def _ended(self) -> list[Ended]:
        deeds: dict[str, Counter[str]] = defaultdict(Counter)
        undone: dict[str, Counter[str]] = defaultdict(Counter)
        for deed in self._outside.deeds.values():
            deeds[deed.workflow_id][deed.name] += 1
        for key in self._outside.undone.values():
            deed = self._outside.deeds[key]
            undone[deed.workflow_id][deed.name] += 1
        found: list[Ended] = []
        for row in await self._pool.fetch(INSTANCES):
            effects: list[str] = row["effects"] or []
            found.append(
                Ended(
                    row["id"],
                    row["kind"],
                    row["status"],
                    row["rollback"],
                    row["output"],
                    row["error"],
                    Counter(each for each in effects if not each.startswith(UNDO)),
                    Counter(each.removeprefix(UNDO) for each in effects if each.startswith(UNDO)),
                    deeds[row["id"]],
                    undone[row["id"]],
                )
            )
        return found

    def _books(self) -> list[str]:
        """What the world itself has to say."""
        outside = self._outside
        return [
            *complain("undoings that make no sense", outside.nonsense),
            *complain("deeds asked for again once they were done", list(outside.asked_again)),
        ]

    async def _facts(self, events: list[EventEnvelope]) -> list[str]:
        """Each row of the effect log was told once."""
        rows = await self._pool.fetch("SELECT workflow_id, step FROM effects")
        left = Counter((row["workflow_id"], row["step"]) for row in rows)
        told = Counter(
            (event.workflow.id, msgspec.json.decode(event.data)["step"])
            for event in events
            if event.workflow is not None
        )
        return [
            *complain("effects not told", list((left - told).elements())),
            *complain("effects told too often", list((told - left).elements())),
        ]


def faults(trip: Trip, ended: Ended) -> list[str]:
    """What a trip did that it should not have done, or did not do."""
    found = [
        f"{name} done {number} times"
        for done in (ended.steps, ended.undone_steps, ended.deeds, ended.undone_deeds)
        for name, number in done.items()
        if number != 1
    ]
    if ended.status not in (ends := _possible_ends(trip)):
        found.append(f"it should have ended {' or '.join(sorted(ends))}")
    asked_back = trip.fate == "rolled back" and ended.status == "terminated"
    rolled_back = asked_back or ended.status == "errored"
    if ended.rollback != ("complete" if rolled_back else None):
        found.append(f"its rollback is {ended.rollback}")
    # The last step is one that nothing undoes.
    nothing = Counter[str]()
    undone = (ended.steps & UNDOABLE, ended.deeds) if rolled_back else (nothing, nothing)
    if (ended.undone_steps, ended.undone_deeds) != undone:
        found.append(
            f"done {sorted(ended.steps)} and {sorted(ended.deeds)}, "
            f"undone {sorted(ended.undone_steps)} and {sorted(ended.undone_deeds)}"
        )
    if ended.status in {"complete", "errored"}:
        found += _whole(trip, ended)
    return found


def _possible_ends(trip: Trip) -> set[str]:
    natural = "errored" if trip.start.fails else "complete"
    return {natural, "terminated"} if trip.fate in {"terminated", "rolled back"} else {natural}


def _whole(trip: Trip, ended: Ended) -> list[str]:
    """What is missing of a trip that went all its way."""
    found: list[str] = []
    steps = UNDOABLE if ended.status == "errored" else UNDOABLE + Counter(("arrive",))
    if (ended.steps, ended.deeds) != (steps, DEEDS):
        found.append(f"it did {sorted(ended.steps)} and {sorted(ended.deeds)}")
    if ended.status == "errored":
        if ended.error != "no_room":
            found.append(f"its error is {ended.error}")
    elif ended.output is not None:
        heard = msgspec.json.decode(ended.output, type=TripReport).stops
        if heard != list(range(trip.start.stops)):
            found.append(f"it heard the stops {heard}")
    else:
        found.append("it has no output")
    return found


def _errand_faults(ended: Ended) -> list[str]:
    done = ended.steps + ended.deeds
    if ended.status == "complete":
        return [] if done == Counter(("errand", "present")) else [f"it did {sorted(done)}"]
    return [] if ended.status == "terminated" and max(done.values(), default=0) <= 1 else ["wrong"]
