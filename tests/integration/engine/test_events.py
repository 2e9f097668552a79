"""A service hears the facts of others: each once, whatever becomes of NATS or of a handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from nats.js.client import JetStreamContext

from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.dead_letters import DeadLetter, ReplayDeadLetter
from shared.messages.events import EventEnvelope
from shared.runtime.handling import EventHandler, Heard, Work
from shared.testing.samples import StepDone
from tests.integration.engine.conftest import BOUND_SECONDS, MakePlace, Place, StartService

SUBJECT = subjects.event("other", "step_done")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def fact(fact_id: str, step: str = "one") -> bytes:
    data = msgspec.Raw(encode(StepDone(step=step)))
    return encode(EventEnvelope(id=fact_id, name=StepDone.name, occurred_at=AT, data=data))


class Ear:
    """Keeps what it hears under its id."""

    def __init__(self) -> None:
        self.fails = 0
        self.deliveries = 0
        self._heard = asyncio.Condition()

    async def hear(self, work: Work, heard: Heard[StepDone]) -> None:
        async with self._heard:
            self.deliveries += 1
            self._heard.notify_all()
        assert (heard.service, heard.occurred_at, work.key) == ("other", AT, heard.id)
        await work.connection.execute(
            "INSERT INTO effects (workflow_id, step) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            heard.id,
            heard.event.step,
        )
        await work.connection.execute("SELECT pg_notify('changed', '')")
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not yet")

    async def heard(self, deliveries: int) -> None:
        """Returns once there were so many deliveries."""
        async with asyncio.timeout(BOUND_SECONDS), self._heard:
            await self._heard.wait_for(lambda: self.deliveries >= deliveries)

    def handler(self) -> EventHandler[StepDone]:
        return EventHandler("other", StepDone, self.hear)


async def hearing(make_place: MakePlace, nats_url: str) -> Place:
    """A place that keeps one effect of each fact."""
    place = await make_place(nats_url)
    await place.fetch("CREATE UNIQUE INDEX ON effects (workflow_id)")
    return place


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    client = await connect(nats_url, "test")
    yield jetstream(client)
    await close(client)


async def test_a_fact_is_heard_once_though_its_handler_fails_and_it_is_told_again(
    nats_url: str, js: JetStreamContext, make_place: MakePlace, start_service: StartService
) -> None:
    place, ear = await hearing(make_place, nats_url), Ear()
    ear.fails = 1
    await js.publish(SUBJECT, fact("before"))
    await start_service(place, events=[ear.handler()])
    # Without the header, as one that is told again after the duplicate window.
    for each in ("one", "one", "two"):
        await js.publish(SUBJECT, fact(each))
    await place.until("SELECT count(*) = 3 FROM effects")
    await ear.heard(5)
    kept = await place.fetch("SELECT workflow_id FROM effects ORDER BY 1")
    assert kept == [("before",), ("one",), ("two",)]
    assert await place.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_the_consumer_is_made_again_and_hears_what_is_there(
    nats_url: str, js: JetStreamContext, make_place: MakePlace, start_service: StartService
) -> None:
    place, ear = await hearing(make_place, nats_url), Ear()
    await start_service(place, events=[ear.handler()])
    await js.publish(SUBJECT, fact("one"))
    await place.until("SELECT count(*) = 1 FROM effects")
    await js.delete_stream(subjects.EVENTS_STREAM)
    await place.prepare(stream_replicas=1)
    for each in ("one", "two"):
        await js.publish(SUBJECT, fact(each))
    await place.until("SELECT count(*) = 2 FROM effects")


async def test_a_fact_that_no_build_understands_is_a_dead_letter_that_can_be_replayed(
    nats_url: str, js: JetStreamContext, make_place: MakePlace, start_service: StartService
) -> None:
    place, ear = await hearing(make_place, nats_url), Ear()
    await start_service(place, events=[ear.handler()])
    envelope = msgspec.json.decode(fact("one"), type=EventEnvelope)
    wrong = msgspec.structs.replace(envelope, data=msgspec.Raw(b'{"step": 7}'))
    await js.publish(SUBJECT, encode(wrong))
    await place.until("SELECT count(*) = 1 FROM dead_letters")
    [(letter_id, reason, detail)] = await place.fetch("SELECT id, reason, detail FROM dead_letters")
    assert (reason, detail) == ("invalid_message", "step: Expected `str`, got `int`")
    client = await connect(nats_url, "test")
    replay = ReplayDeadLetter(id=letter_id)
    await Requests(client).request(
        subjects.command("sample", "replay_dead_letter"), replay, DeadLetter
    )
    await close(client)
    await place.until("SELECT count(*) = 2 FROM dead_letters")
    assert ear.deliveries == 0
