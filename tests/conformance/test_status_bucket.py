"""One suite for the status bucket: on JetStream and on its twin in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from shared.jetstream.connection import connect, jetstream
from shared.jetstream.status import JetStreamStatusBucket
from shared.jetstream.topology import ensure_streams
from shared.messages.base import encode
from shared.messages.workflows import Status, StatusDocument
from shared.testing.memory_status import MemoryStatusBucket
from shared.workflow.records import InstanceKey

Bucket = JetStreamStatusBucket | MemoryStatusBucket

KEY = InstanceKey("player", "one")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "jetstream"])
async def bucket(request: pytest.FixtureRequest, nats_url: str) -> AsyncIterator[Bucket]:
    if request.param == "memory":
        yield MemoryStatusBucket()
        return
    client = await connect(nats_url, "conformance")
    await ensure_streams(jetstream(client), "player", ["player"])
    yield JetStreamStatusBucket(client)
    await client.close()


def document(version: int, *, generation: int = 0, actor: str = "api") -> StatusDocument:
    return StatusDocument(
        workflow_id=KEY.id,
        kind=KEY.kind,
        status=Status.QUEUED if version == 0 else Status.RUNNING,
        created_at=NOON,
        updated_at=NOON,
        generation=generation,
        version=version,
        actor=actor,
        output=msgspec.Raw(b"null"),
    )


async def put(
    bucket: Bucket, version: int, *, generation: int = 0, revision: int | None = None
) -> int | None:
    stored = document(version, generation=generation)
    return await bucket.put(KEY, encode(stored), stored.order, revision)


async def order_stored(bucket: Bucket) -> tuple[int, int, int]:
    found = await bucket.get(KEY)
    assert found is not None
    return found.document.order


async def test_a_key_that_was_never_created_is_absent(bucket: Bucket) -> None:
    assert await bucket.get(KEY) is None


async def test_what_was_created_is_read_with_its_revision(bucket: Bucket) -> None:
    revision = await bucket.create(KEY, document(0))
    found = await bucket.get(KEY)
    assert found is not None
    assert found.document == document(0)
    assert found.revision == revision


@pytest.mark.rule("engine-15")
async def test_a_second_create_changes_nothing(bucket: Bucket) -> None:
    await bucket.create(KEY, document(0, actor="first"))
    assert await bucket.create(KEY, document(0, actor="second")) is None
    found = await bucket.get(KEY)
    assert found is not None
    assert found.document.actor == "first"


@pytest.mark.rule("engine-15")
async def test_of_fifty_concurrent_creates_one_succeeds(bucket: Bucket) -> None:
    revisions = await asyncio.gather(*(bucket.create(KEY, document(0)) for _ in range(50)))
    assert len([revision for revision in revisions if revision is not None]) == 1


async def test_the_same_id_under_two_kinds_is_two_keys(bucket: Bucket) -> None:
    await bucket.create(KEY, document(0))
    assert await bucket.create(InstanceKey("customer", KEY.id), document(0)) is not None


@pytest.mark.rule("engine-25")
async def test_a_put_needs_no_key_before_it(bucket: Bucket) -> None:
    revision = await put(bucket, 1)
    found = await bucket.get(KEY)
    assert found is not None
    assert (found.revision, found.document.order) == (revision, (0, 1, 0))


@pytest.mark.rule("engine-25")
@pytest.mark.parametrize("version", [1, 2])
async def test_a_put_of_the_same_or_an_earlier_order_writes_nothing(
    bucket: Bucket, version: int
) -> None:
    await put(bucket, 2)
    assert await put(bucket, version) is None
    assert await order_stored(bucket) == (0, 2, 0)


@pytest.mark.rule("engine-25")
async def test_a_later_generation_wins_over_a_greater_version(bucket: Bucket) -> None:
    await put(bucket, 9)
    await put(bucket, 1, generation=1)
    assert await put(bucket, 10) is None
    assert await order_stored(bucket) == (1, 1, 0)


@pytest.mark.rule("engine-25")
async def test_a_known_revision_is_put_upon(bucket: Bucket) -> None:
    revision = await bucket.create(KEY, document(0))
    assert await put(bucket, 1, revision=revision) is not None
    assert await order_stored(bucket) == (0, 1, 0)


@pytest.mark.rule("engine-25")
@pytest.mark.parametrize("hint", [0, 1, 999_999])
async def test_a_wrong_revision_never_sets_a_status_back(bucket: Bucket, hint: int) -> None:
    await bucket.create(KEY, document(0))
    await put(bucket, 5)
    assert await put(bucket, 4, revision=hint) is None
    assert await order_stored(bucket) == (0, 5, 0)
    assert await put(bucket, 6, revision=hint) is not None
    assert await order_stored(bucket) == (0, 6, 0)


@pytest.mark.rule("engine-25")
async def test_concurrent_puts_leave_the_latest_order(bucket: Bucket) -> None:
    await asyncio.gather(*(put(bucket, version) for version in (3, 9, 1, 7, 5, 8, 2, 6, 4)))
    assert await order_stored(bucket) == (0, 9, 0)


async def test_a_deleted_key_is_absent_and_may_be_created_or_put_again(bucket: Bucket) -> None:
    await put(bucket, 7)
    await bucket.delete(KEY, (0, 7))
    assert await bucket.get(KEY) is None
    assert await bucket.create(KEY, document(0)) is not None
    await bucket.delete(KEY, (0, 7))
    assert await put(bucket, 1) is not None
    assert await order_stored(bucket) == (0, 1, 0)


async def test_deleting_an_absent_key_changes_nothing(bucket: Bucket) -> None:
    await bucket.delete(KEY, (0, 7))
    assert await bucket.get(KEY) is None


@pytest.mark.rule("engine-17", "engine-25")
async def test_a_document_later_than_the_one_to_be_deleted_stays(bucket: Bucket) -> None:
    await put(bucket, 8)
    await bucket.delete(KEY, (0, 7))
    assert await order_stored(bucket) == (0, 8, 0)
    await bucket.delete(KEY, (1, 0))
    assert await bucket.get(KEY) is None
