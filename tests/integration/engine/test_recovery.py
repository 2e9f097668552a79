"""All of NATS is lost under services at work, and told again what PostgreSQL knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest
from nats.js.api import StreamInfo

from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.status import JetStreamStatusBucket, Stored
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Status, StatusDocument
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.recovery import Recovered, recover_service
from shared.testing.faults import Cut
from shared.testing.samples import SampleWorkflow, StartSample
from shared.testing.servers import delete_streams
from shared.workflow.records import InstanceKey
from shared.workflow.step import Skipped, Step
from tests.integration.engine.conftest import MakePlace, Place, StartService
from tests.integration.engine.test_outages import delete_all, wipe_out

ENDED = 30
ASLEEP = 20
STEPS = 5


class Gated(SampleWorkflow):
    """Whose instances named `held` stop in their third step until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()

    async def leave_row(self, step: Step, number: int, start: StartSample) -> str | Skipped:
        """Stops before it does anything."""
        if step.workflow_id == "held" and number == 2:
            self.reached.set()
            await self.gate.wait()
        return await super().leave_row(step, number, start)


async def recover(place: Place, say: Callable[[str], None] = lambda _: None) -> Recovered:
    return await recover_service("sample", ["sample"], place.settings(), say)


async def stored(place: Place, workflow_id: str) -> Stored | None:
    client = await connect(place.nats_url, "test")
    found = await JetStreamStatusBucket(client).get(InstanceKey("sample", workflow_id))
    await close(client)
    return found


async def stream(place: Place, name: str) -> StreamInfo:
    client = await connect(place.nats_url, "test")
    info = await jetstream(client).stream_info(name)
    await close(client)
    return info


async def leave_unsent(place: Place) -> None:
    """What a worker that died after its commit leaves to the relay."""
    connection = await asyncpg.connect(place.database_url)
    await connection.execute(
        "INSERT INTO outbox (message_id, source, subject, headers, body) "
        "VALUES ('unsent', 'test', 'events.sample.told', '{}', '{}')"
    )
    await connection.close()


@pytest.mark.rule("engine-1", "engine-25", "engine-26")
@pytest.mark.parametrize("lose", [delete_all, wipe_out])
async def test_after_recover_every_status_is_the_journals_and_everything_ends_once(
    own_nats: EmbeddedNats,
    make_place: MakePlace,
    start_service: StartService,
    lose: Callable[[EmbeddedNats], Awaitable[None]],
) -> None:
    place = await make_place(own_nats.url)
    workflow = Gated()
    await start_service(place, workflow)
    await start_service(place, workflow)
    await place.publish([StartSample(id=f"ended-{n}") for n in range(ENDED)])
    await place.publish([StartSample(id=f"asleep-{n}", sleep_seconds=4) for n in range(ASLEEP)])
    await place.until_ended(ENDED)
    await place.until(
        "SELECT count(*) = $1 FROM workflow_instances WHERE status = 'waiting'", ASLEEP
    )
    await place.publish([StartSample(id="held")])
    await workflow.reached.wait()
    await leave_unsent(place)

    await lose(own_nats)
    recovering = asyncio.create_task(recover(place))
    workflow.gate.set()
    done = await recovering

    assert done.instances >= ENDED + ASLEEP
    assert done.statuses > ENDED
    wrong = await place.wrong_statuses()
    assert [each for each in wrong if each.startswith("ended")] == []
    await place.until_ended(ENDED + ASLEEP + 1)
    await place.until("SELECT count(*) = 0 FROM outbox WHERE sent_at IS NULL")
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []
    events = await place.fetchval("SELECT count(*) FROM outbox")
    assert events == STEPS * (ENDED + ASLEEP + 1) + 1
    assert (await stream(place, subjects.EVENTS_STREAM)).state.messages == events


@pytest.mark.rule("engine-25", "engine-26")
async def test_recover_works_without_a_service_and_a_second_time_changes_nothing(
    own_nats: EmbeddedNats, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(own_nats.url)
    replica = await start_service(place)
    await place.publish([StartSample(id=f"{n}") for n in range(ENDED)])
    await place.until_ended(ENDED)
    await place.until_settled()
    assert await replica.stop() is None
    await wipe_out(own_nats)

    first = await recover(place)
    before = await stored(place, "0")
    second = await recover(place)
    after = await stored(place, "0")

    assert first == second
    assert first == Recovered(forgotten=0, instances=ENDED, statuses=ENDED, messages=STEPS * ENDED)
    assert before is not None
    assert after is not None
    assert after.document.order > before.document.order
    assert after.document.steps == before.document.steps
    assert await place.wrong_statuses() == []
    assert (await stream(place, subjects.EVENTS_STREAM)).state.messages == STEPS * ENDED


@pytest.mark.rule("engine-25", "engine-26")
@pytest.mark.parametrize("last_words", ["are there", f"of {ENDED} instances", "100 messages"])
async def test_a_recover_that_was_cut_off_is_run_again(
    nats_url: str, make_place: MakePlace, start_service: StartService, last_words: str
) -> None:
    place = await make_place(nats_url)
    replica = await start_service(place)
    await place.publish([StartSample(id=f"{n}") for n in range(ENDED)])
    await place.until_ended(ENDED)
    await place.until_settled()
    assert await replica.stop() is None
    await delete_streams(nats_url)

    def cut(line: str) -> None:
        if line.endswith(last_words):
            raise Cut(line)

    with pytest.raises(Cut):
        await recover(place, cut)
    await recover(place)

    assert await place.wrong_statuses() == []
    assert (await stream(place, subjects.EVENTS_STREAM)).state.messages == STEPS * ENDED


@pytest.mark.rule("engine-5", "engine-25")
async def test_recover_waits_for_a_worker_at_work_and_the_workers_next_status_wins(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(nats_url)
    workflow = Gated()
    await start_service(place, workflow, lease_seconds=30.0)
    # The claim of a wake holds the row, until the segment that it begins is committed.
    starts = [StartSample(id=name, sleep_seconds=0.1) for name in ("held", "free")]
    await place.publish(starts)
    await workflow.reached.wait()
    await place.until_ended(1)
    told: asyncio.Queue[str] = asyncio.Queue()

    recovering = asyncio.create_task(recover(place, told.put_nowait))
    while not (await told.get()).startswith("waiting for 1 instances"):
        pass
    workflow.gate.set()
    await recovering

    await place.until_ended(2)
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []
    rows = await place.fetch("SELECT id, generation FROM workflow_instances ORDER BY id")
    assert rows == [("free", 2), ("held", 2)]


@pytest.mark.rule("engine-25")
async def test_recover_wins_over_statuses_of_commits_that_a_backup_does_not_have(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(nats_url)
    await start_service(place)
    await place.publish([StartSample(id="one")])
    await place.until_ended(1)
    await place.until_settled()
    found = await stored(place, "one")
    assert found is not None
    client = await connect(nats_url, "test")
    future = StatusDocument(
        workflow_id="one",
        kind="sample",
        status=Status.ERRORED,
        created_at=found.document.created_at,
        updated_at=found.document.updated_at,
        generation=7,
        version=9,
    )
    key = InstanceKey("sample", "one")
    await JetStreamStatusBucket(client).put(key, encode(future), future.order, None)
    await close(client)

    await recover(place)

    assert await place.wrong_statuses() == []
    assert await place.fetchval("SELECT generation FROM workflow_instances") == 8


@pytest.mark.rule("engine-25")
async def test_recover_takes_away_what_a_backup_does_not_know_and_no_start_that_waits(
    nats_url: str, make_place: MakePlace
) -> None:
    place = await make_place(nats_url)
    client = await connect(nats_url, "test")
    bucket = JetStreamStatusBucket(client)
    for workflow_id, version in (("waits", 0), ("unknown", 3)):
        document = StatusDocument(
            workflow_id=workflow_id,
            kind="sample",
            status=Status.QUEUED if version == 0 else Status.COMPLETE,
            created_at=datetime(2026, 3, 1, tzinfo=UTC),
            updated_at=datetime(2026, 3, 1, tzinfo=UTC),
            version=version,
        )
        await bucket.create(InstanceKey("sample", workflow_id), document)
    await close(client)

    done = await recover(place)

    assert done.forgotten == 1
    assert await stored(place, "unknown") is None
    assert await stored(place, "waits") is not None


@pytest.mark.rule("engine-11", "engine-25")
@pytest.mark.parametrize("name", [subjects.EVENTS_STREAM, subjects.STATUS_STREAM])
async def test_a_service_makes_a_single_lost_stream_again_when_it_needs_it(
    nats_url: str, make_place: MakePlace, start_service: StartService, name: str
) -> None:
    place = await make_place(nats_url)
    await start_service(place)
    await place.publish([StartSample(id="before")])
    await place.until_ended(1)
    await place.until_settled()
    client = await connect(nats_url, "test")
    await jetstream(client).delete_stream(name)
    await close(client)

    await place.publish([StartSample(id="after")])
    await place.until_ended(2)
    await place.until_settled()

    assert (await stream(place, name)).state.messages >= 1
    assert await place.doubled() == []
    assert "after" not in await place.wrong_statuses()
