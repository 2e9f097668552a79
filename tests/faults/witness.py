"""What must be true of any service once a storm is over, seen in its tables, in EVENTS and in the
bucket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import asyncpg
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.jetstream.connection import jetstream
from shared.messages import subjects
from shared.messages.events import EventEnvelope
from shared.messages.workflows import StatusDocument
from shared.postgres.recovery import RecoveryStore
from shared.workflow.projection import project
from shared.workflow.records import InstanceKey

EXAMPLES = 5

NOTHING_LEFT = {
    "unfinished instances": """
        SELECT kind, id, status FROM workflow_instances
        WHERE status NOT IN ('complete', 'errored', 'terminated')""",
    "messages left in the outbox": "SELECT subject FROM outbox WHERE sent_at IS NULL",
    "messages left in inboxes": """
        SELECT kind, id, category, type FROM inbox WHERE read_at IS NULL""",
}
"""Queries that find nothing once all has come to rest."""

NOTHING_FOUND = {
    # Whatever was killed, no step has failed: none was tried a second time (rule 7).
    "steps with more than one attempt": """
        SELECT kind, id, name, state, attempts FROM workflow_journal
        WHERE type = 'step' AND attempts <> 1""",
    "claims that count as poison": """
        SELECT kind, id FROM workflow_instances WHERE error->>'name' = 'poisoned'""",
}
"""Queries that never find anything."""


class Witness(ABC):
    """Looks once everything is still; each complaint is a sentence."""

    queues: ClassVar[tuple[str, ...]] = ()
    """Streams whose messages are this service's alone."""
    nothing_found: ClassVar[dict[str, str]] = {}
    """Queries that never find anything in this service."""

    def __init__(self, service: str, pool: asyncpg.Pool[asyncpg.Record], client: Client):
        self.service = service
        self._pool = pool
        self._js = jetstream(client)

    async def instances(self) -> int:
        """How many there are."""
        return int(await self._pool.fetchval("SELECT count(*) FROM workflow_instances"))

    async def unsettled(self) -> list[str]:
        """What is still to come: work that waits, instances that run, messages in the outbox."""
        found: list[str] = []
        for stream in (subjects.workflows_stream(self.service), *self.queues):
            state = (await self._js.stream_info(stream)).state
            if state.messages:
                found.append(f"{state.messages} messages in {stream}: {await self._held(stream)}")
        for name, query in NOTHING_LEFT.items():
            found += await self._nothing(name, query)
        return found

    async def _held(self, stream: str) -> str:
        """Whose the messages are: not delivered yet, or delivered and not settled."""
        return ", ".join(
            f"{each.name} has {each.num_pending} to come and {each.num_ack_pending} in hand"
            for each in await self._js.consumers_info(stream)
        )

    async def complaints(self) -> list[str]:
        """All that is wrong; a storm that did no harm leaves none."""
        queries = {**NOTHING_FOUND, **self.nothing_found}
        found = [each for name in queries for each in await self._nothing(name, queries[name])]
        events, contradictions = await self._events()
        found += contradictions
        found += await self._told(events)
        found += await self._sequences(events.values())
        found += await self._statuses()
        found += await self._own(list(events.values()))
        return [f"{self.service}: {each}" for each in found]

    @abstractmethod
    async def _own(self, events: list[EventEnvelope]) -> list[str]:
        """What is wrong with what this service alone does."""

    async def _nothing(self, name: str, query: str) -> list[str]:
        rows = await self._pool.fetch(query)
        return complain(name, [tuple(row.values()) for row in rows])

    async def _column(self, query: str) -> set[Any]:
        return {row[0] for row in await self._pool.fetch(query)}

    async def _events(self) -> tuple[dict[str, EventEnvelope], list[str]]:
        """By their ids, for a consumer that drops repeats; and those that contradict themselves."""
        bodies: dict[str, bytes] = {}
        events: dict[str, EventEnvelope] = {}
        contradictory: set[str] = set()
        subject = subjects.event(self.service, ">")
        for message in await self._everything(subjects.EVENTS_STREAM, subject):
            event = msgspec.json.decode(message.data, type=EventEnvelope)
            if bodies.setdefault(event.id, message.data) != message.data:
                contradictory.add(event.id)
            events[event.id] = event
        return events, complain("events with two bodies", sorted(contradictory))

    async def _told(self, events: Iterable[str]) -> list[str]:
        outbox = await self._column("SELECT message_id FROM outbox WHERE subject LIKE 'events.%'")
        return differ("events", events, outbox)

    async def _sequences(self, events: Iterable[EventEnvelope]) -> list[str]:
        """The facts of each instance are numbered from 1 to as many as it counts."""
        numbers: dict[tuple[str, str], list[int]] = {}
        for event in events:
            if event.workflow is not None:
                key = (event.workflow.kind, event.workflow.id)
                numbers.setdefault(key, []).append(event.sequence or 0)
        rows = await self._pool.fetch("SELECT kind, id, event_sequence FROM workflow_instances")
        wrong = [
            (row["id"], found, row["event_sequence"])
            for row in rows
            if (found := sorted(numbers.get((row["kind"], row["id"]), [])))
            != list(range(1, row["event_sequence"] + 1))
        ]
        return complain("instances whose events are numbered otherwise", wrong)

    async def _statuses(self) -> list[str]:
        """The bucket has what each journal says, and no other key."""
        store = RecoveryStore(self._pool)
        kinds = await self._column("SELECT DISTINCT kind FROM workflow_instances")
        bucket = {
            message.subject: msgspec.json.decode(message.data, type=StatusDocument)
            for kind in kinds
            for message in await self._everything(
                subjects.STATUS_STREAM, subjects.status_subject(subjects.status_key(kind, "*"))
            )
        }
        everything = await store.load(await store.keys_after(InstanceKey("", ""), 10**6))
        journals = {
            subjects.status_subject(str(loaded[0].key)): project(*loaded) for loaded in everything
        }
        wrong = [
            (key, bucket[key].status, bucket[key].order, journals[key].order)
            for key in bucket.keys() & journals.keys()
            if bucket[key] != journals[key]
        ]
        return [
            *differ("keys of the status bucket", bucket, journals),
            *complain("statuses that are not their journals'", wrong),
        ]

    async def _everything(self, stream: str, subject: str) -> list[Msg]:
        """All messages of a stream under a subject."""
        info = await self._js.stream_info(stream, subjects_filter=subject)
        number = sum((info.state.subjects or {}).values())
        subscription = await self._js.subscribe(subject, stream=stream, ordered_consumer=True)
        messages = [await subscription.next_msg(timeout=10) for _ in range(number)]
        await subscription.unsubscribe()
        return messages


def complain(what: str, rows: list[Any]) -> list[str]:
    """A complaint about so many rows, or none."""
    return [f"{len(rows)} {what}, such as {rows[:EXAMPLES]}"] if rows else []


def differ(what: str, found: Iterable[Any], expected: Iterable[Any]) -> list[str]:
    """Complaints about what is missing and what is too many."""
    found, expected = set(found), set(expected)
    return [
        *complain(f"{what} missing", sorted(expected - found, key=str)),
        *complain(f"{what} too many", sorted(found - expected, key=str)),
    ]
