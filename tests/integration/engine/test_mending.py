"""Keys of the status bucket that are wrong by hand are mended, beside services at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace
from nats.aio.client import Client

from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.requests import Requests
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.statuses import MendStatuses, Reason, StatusesMended
from shared.messages.workflows import Status, StatusDocument
from shared.postgres.pool import create_pool
from shared.postgres.recovery import RecoveryStore
from shared.runtime.mending import Mender
from shared.testing.samples import StartSample
from shared.workflow.ports import Order
from shared.workflow.projection import project
from shared.workflow.records import InstanceKey
from tests.integration.engine.conftest import MakePlace, Place, StartService

BOUND_SECONDS = 60.0
WRONG: dict[str, tuple[Reason, Callable[[StatusDocument], bytes | None]]] = {
    "deleted": ("missing", lambda _: None),
    "of an earlier commit": ("behind", lambda right: encode(replace(right, version=0))),
    "of another content": (
        "altered",
        lambda right: encode(replace(right, status=Status.ERRORED, completed_steps=())),
    ),
    "of a commit that never was": ("ahead", lambda right: encode(replace(right, version=10**6))),
    "of a recovery that never was": (
        "ahead",
        lambda right: encode(replace(right, generation=7, version=0)),
    ),
    "of another kind": ("altered", lambda right: encode(replace(right, kind="customer"))),
    "of a pause that nobody asked for": (
        "altered",
        lambda right: encode(replace(right, status=Status.WAITING_FOR_PAUSE, stage=1)),
    ),
    "no document": ("altered", lambda _: b"nothing"),
}


@dataclass
class Bench:
    """A service's place, and what looks after its statuses."""

    place: Place
    client: Client
    pool: asyncpg.Pool[asyncpg.Record]
    statuses: JetStreamStatusBucket

    def mender(self, *, page: int = 100, settling_seconds: float = 0.0) -> Mender:
        return Mender(
            RecoveryStore(self.pool),
            self.statuses,
            ["sample"],
            page=page,
            settling_seconds=settling_seconds,
        )

    async def write(self, workflow_id: str, body: bytes | None) -> None:
        """Puts anything at a key, as somebody with the right to it may."""
        key = f"sample.{workflow_id}"
        headers = {"KV-Operation": "DEL"} if body is None else {}
        await jetstream(self.client).publish(
            subjects.status_subject(key), body or b"", headers=headers
        )

    async def right(self, workflow_id: str) -> StatusDocument:
        [loaded] = await RecoveryStore(self.pool).load([InstanceKey("sample", workflow_id)])
        return project(*loaded)

    async def shown(self, workflow_id: str) -> StatusDocument | None:
        found = await self.statuses.look(InstanceKey("sample", workflow_id))
        return found.document


@pytest.fixture
async def bench(nats_url: str, make_place: MakePlace) -> AsyncIterator[Bench]:
    place = await make_place(nats_url)
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "mending")
        stack.push_async_callback(close, client)
        pool = await create_pool(place.database_url, size=4, name="test", idle_timeout_seconds=30)
        stack.callback(pool.terminate)
        yield Bench(place, client, pool, JetStreamStatusBucket(client))


async def run(bench: Bench, start_service: StartService, *starts: StartSample) -> None:
    """Runs them to their ends, and until their statuses are put."""
    await start_service(bench.place)
    await bench.place.publish(starts)
    await bench.place.until_settled()


def told(mended: StatusesMended) -> list[tuple[str, str, bool]]:
    return [(each.id, each.reason, each.mended) for each in mended.differences]


@pytest.mark.rule("engine-25", "maintenance-invariants")
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_key_is_named_and_mended(
    bench: Bench, start_service: StartService, wrong: str
) -> None:
    await run(bench, start_service, StartSample(id="one"), StartSample(id="two"))
    right = await bench.right("one")
    assert await bench.shown("one") == right
    reason, falsify = WRONG[wrong]
    await bench.write("one", falsify(right))

    mended = await Requests(bench.client).request(
        subjects.command("sample", "mend_statuses"), MendStatuses(), StatusesMended
    )

    assert told(mended) == [("one", reason, True)]
    assert (mended.differed, mended.mended, mended.cursor) == (1, 1, None)
    assert await bench.shown("one") == right
    assert (await bench.mender().mend(MendStatuses())).differed == 0


@pytest.mark.rule("engine-15", "maintenance-invariants")
async def test_a_key_without_an_instance_goes_and_that_of_a_start_under_way_stays(
    bench: Bench, start_service: StartService
) -> None:
    await run(bench, start_service, StartSample(id="one"))
    right = await bench.right("one")
    queued = replace(right, workflow_id="queued", status=Status.QUEUED, generation=0, version=0)
    await bench.write("nobody", encode(replace(right, workflow_id="nobody")))
    await bench.write("nothing", b"nothing")
    await bench.write("queued", encode(queued))

    mended = await bench.mender().mend(MendStatuses())

    assert told(mended) == [("nobody", "orphan", True), ("nothing", "orphan", True)]
    assert await bench.shown("nobody") is None
    assert await bench.shown("queued") == queued
    assert await bench.shown("one") == right


@pytest.mark.rule("engine-17", "maintenance-invariants")
async def test_a_retired_instance_is_given_no_key(
    bench: Bench, start_service: StartService
) -> None:
    await run(bench, start_service, StartSample(id="one"))
    await bench.pool.execute("UPDATE workflow_instances SET retired_at = now()")
    await bench.write("one", None)
    assert (await bench.mender().mend(MendStatuses())).differed == 0
    assert await bench.shown("one") is None


@pytest.mark.rule("maintenance-invariants")
async def test_it_goes_on_at_its_cursor_within_limit_and_budget(
    bench: Bench, start_service: StartService
) -> None:
    await run(bench, start_service, *(StartSample(id=f"n{n}") for n in range(7)))
    for n in (1, 5):
        await bench.write(f"n{n}", None)
    await bench.write("nobody", encode(await bench.right("n0")))
    checked: list[int] = []
    named: list[str] = []
    request: MendStatuses | None = MendStatuses(limit=3)
    while request is not None:
        answer = await bench.mender(page=2).mend(request)
        checked.append(answer.checked)
        named += [each.id for each in answer.differences]
        request = replace(request, cursor=answer.cursor) if answer.cursor else None
    assert named == ["n1", "n5", "nobody"]
    assert max(checked) == 3
    # Seven instances, and as many keys with that of nobody once two of them are there again.
    assert sum(checked) == 7 + 8


class Meddling(JetStreamStatusBucket):
    """Has something happen between the second look at a key and its change."""

    happen: Callable[[], Any] | None = None

    async def replace(self, key: InstanceKey, document: bytes, revision: int) -> bool:
        if self.happen is not None:
            await self.happen()
        return await super().replace(key, document, revision)


@pytest.mark.rule("engine-25", "maintenance-invariants")
async def test_who_puts_a_status_meanwhile_wins(bench: Bench, start_service: StartService) -> None:
    await run(bench, start_service, StartSample(id="one"))
    right = await bench.right("one")
    later = replace(right, version=right.version + 1)
    statuses = bench.statuses = Meddling(bench.client)
    await bench.write("one", encode(replace(right, completed_steps=())))

    async def commit_and_put() -> None:
        await bench.pool.execute("UPDATE workflow_instances SET version = version + 1")
        await JetStreamStatusBucket(bench.client).put(
            InstanceKey("sample", "one"), encode(later), later.order, None
        )

    statuses.happen = commit_and_put
    mended = await bench.mender().mend(MendStatuses())

    assert told(mended) == [("one", "altered", False)]
    assert await bench.shown("one") == later


@pytest.mark.rule("engine-25", "maintenance-invariants")
async def test_a_commit_that_a_wrong_greater_order_kept_out_is_shown(
    bench: Bench, start_service: StartService
) -> None:
    await run(bench, start_service, StartSample(id="one"))
    right = await bench.right("one")
    later = replace(right, version=right.version + 1)
    statuses = bench.statuses = Meddling(bench.client)
    await bench.write("one", encode(replace(right, version=10**6)))

    async def commit_and_put_in_vain() -> None:
        await bench.pool.execute("UPDATE workflow_instances SET version = version + 1")
        put = await JetStreamStatusBucket(bench.client).put(
            InstanceKey("sample", "one"), encode(later), later.order, None
        )
        assert put is None

    statuses.happen = commit_and_put_in_vain
    mended = await bench.mender().mend(MendStatuses())

    assert told(mended) == [("one", "ahead", True)]
    assert await bench.shown("one") == later


@pytest.mark.rule("engine-25", "maintenance-invariants")
async def test_beside_runs_no_status_goes_back_and_none_stays_wrong(
    bench: Bench, start_service: StartService
) -> None:
    count = 60
    orders: dict[str, list[Order]] = {}
    seen = await bench.client.subscribe(subjects.status_subject("sample.*"))
    for _ in range(2):
        await start_service(bench.place)
    done = asyncio.Event()

    async def keep_mending() -> int:
        rounds = 0
        while not done.is_set():
            # Without time to settle every status on its way is taken for a difference.
            await bench.mender(page=20).mend(MendStatuses())
            rounds += 1
        return rounds

    mending = asyncio.create_task(keep_mending())
    await bench.place.publish([StartSample(id=f"n{n}", sleep_seconds=n % 2) for n in range(count)])
    await bench.place.until_ended(count)
    await bench.place.until_settled()
    done.set()
    assert await mending > 1
    await bench.client.flush()
    while seen.pending_msgs:
        message = await seen.next_msg(timeout=BOUND_SECONDS)
        stored = message.subject.rpartition(".")[2]
        orders.setdefault(stored, []).append(
            msgspec.json.decode(message.data, type=StatusDocument).order
        )
    assert len(orders) == count
    assert all(each == sorted(each) for each in orders.values())
    assert await bench.place.wrong_statuses() == []
    assert await bench.place.doubled() == []
