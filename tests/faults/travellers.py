"""Travellers, who start trips by bare publishes and go along with each to its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import NamedTuple
from uuid import UUID

import msgspec
from nats.aio.client import Client

from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.workflows import Action, ControlCommand, SignalCommand, Status
from shared.workflow.errors import Transient
from shared.workflow.gate import Gate
from shared.workflow.records import InstanceKey, OutboxMessage
from tests.faults.travel import StartTrip, Stop

PAUSE_SECONDS = 0.1
LOOK_SECONDS = 0.3
LONGEST_TRIP_SECONDS = 150.0
FATES = {"left alone": 5, "paused": 2, "terminated": 1, "rolled back": 2}


class Trip(NamedTuple):
    """What a traveller wants of a trip."""

    id: str
    start: StartTrip
    fate: str


class Travellers:
    """Each of them is on one trip at a time, and sends things while the gate lets him."""

    def __init__(self, client: Client, gate: Gate, seed: int):
        self._publisher = JetStreamPublisher(client)
        self._statuses = JetStreamStatusBucket(client)
        self._gate = gate
        self._seed = seed
        self.repeats = 0
        """What had to be published again."""
        self.trips: dict[str, Trip] = {}
        """Those that were accepted."""
        self.paused_again: list[str] = []
        """Trips that had to be resumed once more."""
        self.stranded: list[str] = []
        """Trips whose status has shown no end in time."""

    async def travel(self, number: int, enough: asyncio.Event) -> None:
        """One traveller, until it is enough and his last trip has ended."""
        random = Random(f"{self._seed}/traveller/{number}")
        while not enough.is_set():
            trip = _draw(random)
            await self._send(subjects.start("trip"), trip.start, trip.id)
            self.trips[trip.id] = trip
            await asyncio.gather(self._call_stops(trip, random), self._interfere(trip, random))
            try:
                async with asyncio.timeout(LONGEST_TRIP_SECONDS):
                    await self._see_home(trip)
            except TimeoutError:
                self.stranded.append(trip.id)

    async def _call_stops(self, trip: Trip, random: Random) -> None:
        """Signals, one after another."""
        for number in range(trip.start.stops):
            await asyncio.sleep(random.uniform(0, 0.5))
            name = f"{trip.id}-{number}"
            payload = msgspec.Raw(encode(Stop(number=number)))
            signal = SignalCommand(type=Stop.type, payload=payload, id=name)
            await self._send(subjects.signal("trip", trip.id), signal, name)

    async def _interfere(self, trip: Trip, random: Random) -> None:
        await asyncio.sleep(random.uniform(0, 3))
        if trip.fate == "paused":
            await self._control(trip, Action.PAUSE)
            await asyncio.sleep(random.uniform(0, 2))
            await self._control(trip, Action.RESUME)
        elif trip.fate in {"terminated", "rolled back"}:
            await self._control(trip, Action.TERMINATE, rollback=trip.fate == "rolled back")

    async def _control(
        self, trip: Trip, action: Action, *, rollback: bool = False, name: str = ""
    ) -> None:
        command = ControlCommand(id=trip.id, action=action, rollback=rollback)
        await self._send(subjects.control("trip"), command, f"{trip.id}-{action}{name}")

    async def _see_home(self, trip: Trip) -> None:
        """Looks at the status until it shows the end."""
        status: Status | None = None
        while status is None or not status.ended:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(Transient):
                stored = await self._statuses.get(InstanceKey("trip", trip.id))
                status = None if stored is None else stored.document.status
            if status is Status.PAUSED:
                # A pause that was sent twice: nobody dropped the copy, and it came last.
                self.paused_again.append(trip.id)
                await self._control(trip, Action.RESUME, name=f"{len(self.paused_again)}")

    async def _send(self, subject: str, message: Message, name: str) -> None:
        """Publishes until it is stored."""
        outgoing = OutboxMessage(id=name, subject=subject, body=encode(message))
        async with self._gate.beside_others():
            while True:
                try:
                    await self._publisher.publish([outgoing])
                except Transient:
                    self.repeats += 1
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    return


def _draw(random: Random) -> Trip:
    workflow_id = str(UUID(int=random.getrandbits(128), version=4))
    start = StartTrip(
        id=workflow_id,
        stops=random.randrange(4),
        night_seconds=random.uniform(0.2, 2),
        fails=random.random() < 0.25,
    )
    [fate] = random.choices(list(FATES), list(FATES.values()))
    return Trip(workflow_id, start, fate)
