"""Servers that go away and come back, or come back empty, under a service at work."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable

import pytest

from shared.jetstream.connection import connect, jetstream
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.testing.samples import StartSample
from shared.testing.servers import Databases, delete_streams
from tests.integration.engine.conftest import MakePlace, StartService

COUNT = 200


def starts(prefix: str, count: int = COUNT) -> list[StartSample]:
    return [StartSample(id=f"{prefix}-{number}") for number in range(count)]


@pytest.mark.rule("engine-1", "engine-3", "engine-11")
async def test_what_was_accepted_ends_once_when_nats_is_killed_under_load(
    own_nats: EmbeddedNats, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(own_nats.url)
    await place.publish(starts("before"))
    await start_service(place)
    await place.until_ended(COUNT // 4)
    await own_nats.kill()
    await own_nats.start()
    await place.publish(starts("after"))
    await place.until_ended(2 * COUNT)
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []


@pytest.mark.rule("engine-1", "engine-6", "engine-7")
async def test_what_was_accepted_ends_once_when_postgres_is_killed_under_load(
    own_postgres: EmbeddedPostgres,
    nats_url: str,
    make_place: MakePlace,
    start_service: StartService,
) -> None:
    place = await make_place(nats_url, Databases(own_postgres.url))
    await place.publish(starts("before"))
    replica = await start_service(place)
    await place.until_ended(COUNT // 4)
    await own_postgres.kill()
    await place.publish(starts("meanwhile"))
    await own_postgres.start()
    await place.until_ended(2 * COUNT)
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []
    assert await replica.stop() is None


async def delete_all(server: EmbeddedNats) -> None:
    """Takes the streams away while everybody stays connected."""
    await delete_streams(server.url)


async def wipe_out(server: EmbeddedNats) -> None:
    """Loses the server with its disk; another one is there soon."""
    await server.kill()
    shutil.rmtree(server.data)
    await server.start()


@pytest.mark.rule("engine-1", "engine-16")
@pytest.mark.parametrize("lose", [delete_all, wipe_out])
async def test_sleepers_wake_after_all_of_nats_was_lost_under_a_running_service(
    own_nats: EmbeddedNats,
    make_place: MakePlace,
    start_service: StartService,
    lose: Callable[[EmbeddedNats], Awaitable[None]],
) -> None:
    place = await make_place(own_nats.url)
    await start_service(place)
    await place.publish([StartSample(id=f"asleep-{n}", sleep_seconds=2) for n in range(20)])
    await place.until("SELECT count(*) = 20 FROM workflow_instances WHERE status = 'waiting'")
    await lose(own_nats)
    await place.until_ended(20)
    client = await connect(own_nats.url, "test")
    names = {info.config.name for info in await jetstream(client).streams_info()}
    await client.close()
    assert names == {"WORKFLOWS_SAMPLE", "INGEST", "EVENTS", "KV_workflow-status"}
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []


@pytest.mark.rule("engine-1")
async def test_a_service_can_be_stopped_while_nats_is_away(
    own_nats: EmbeddedNats, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(own_nats.url)
    replica = await start_service(place)
    await place.publish([StartSample(id="one")])
    await place.until_ended(1)
    await own_nats.kill()
    async with asyncio.timeout(20):
        assert await replica.stop() is None


@pytest.mark.rule("engine-3", "engine-4", "engine-5")
async def test_replicas_side_by_side_do_everything_once_while_one_after_another_goes(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(nats_url)
    first = await start_service(place, drain_seconds=0.05)
    await start_service(place)
    twice = [
        StartSample(id=f"{n}", sleep_seconds=0.2 * (n % 3), skip_step=n % 7)
        for n in range(COUNT // 2)
    ] * 2
    await place.publish(twice)
    await place.until_ended(COUNT // 8)
    await first.stop()
    await start_service(place)
    await place.until_ended(COUNT // 2)
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []
