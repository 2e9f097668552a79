"""Effect log, journal, outbox, events, inbox, dead letters and status of an instance agree."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from shared.messages import subjects
from shared.messages.events import EventEnvelope
from shared.workflow.projection import project
from shared.workflow.records import Entry, Instance, InstanceKey
from tests.faults.sweep import NotAsItMustBe, World


async def effects_of(world: World, workflow_id: str) -> list[str]:
    """The steps of an instance that took effect, in order."""
    async with world.witness.transaction() as transaction:
        rows = await transaction.connection.fetch(
            "SELECT step FROM effects WHERE workflow_id = $1 ORDER BY id", workflow_id
        )
    return [row["step"] for row in rows]


async def check_agreement(world: World, key: InstanceKey) -> tuple[Instance, list[Entry]]:
    """The instance and its journal; effect log, outbox, events, inbox and status agree with them,
    each effect once."""
    loaded = await world.witness.load(key)
    if loaded is None:
        raise NotAsItMustBe(f"there is no {key}")
    instance, entries = loaded
    async with world.witness.transaction() as transaction:
        outbox = await transaction.connection.fetch(
            "SELECT message_id FROM outbox WHERE source = $1 AND subject LIKE 'events.%'", str(key)
        )
        letters = await transaction.connection.fetch("SELECT subject, reason FROM dead_letters")
    effects = await effects_of(world, key.id)
    same("effects, each once", sorted(effects), sorted(set(effects)))
    await world.witness.relay(world.publisher.publish, older_than_seconds=0, limit=1000)
    events = await _events(world, key.id)
    same("events", sorted(event.step for event in events.values()), sorted(effects))
    sequences = sorted(event.sequence for event in events.values())
    same("numbers of events", sequences, sorted(set(sequences)))
    same("outbox", {row["message_id"] for row in outbox}, set(events))
    same("dead letters", [tuple(row) for row in letters], [])
    same("inbox", [each.type for each in await world.witness.unread(key)], [])
    stored = await world.statuses.get(key)
    same("status", stored.document if stored else None, project(instance, entries))
    return instance, entries


@dataclass
class Heard:
    """An event as a consumer sees it."""

    step: str
    sequence: int


async def _events(world: World, workflow_id: str) -> dict[str, Heard]:
    """The instance's events by id, as a consumer that drops repeats sees them."""
    found: dict[str, Heard] = {}
    info = await world.js.stream_info(subjects.EVENTS_STREAM)
    for sequence in range(world.events_from, info.state.last_seq + 1):
        message = await world.js.get_msg(subjects.EVENTS_STREAM, sequence)
        event = msgspec.json.decode(message.data or b"", type=EventEnvelope)
        if event.workflow is not None and event.workflow.id == workflow_id:
            step = msgspec.json.decode(event.data, type=dict[str, str])["step"]
            found[event.id] = Heard(step, event.sequence or 0)
    return found


def same(what: str, found: object, expected: object) -> None:
    """Raises NotAsItMustBe where they differ."""
    if found != expected:
        raise NotAsItMustBe(f"{what}: {found!r} instead of {expected!r}")
