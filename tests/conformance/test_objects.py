"""One suite for objects: on JetStream's object store and on its twin in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import cast

import pytest

from shared.jetstream.connection import connect, jetstream
from shared.jetstream.objects import (
    CHUNK_BYTES,
    JetStreamObjects,
    ObjectDamaged,
    ObjectInfo,
    ObjectMissing,
    Objects,
)
from shared.messages import subjects
from shared.testing.memory_objects import MemoryObjects
from shared.workflow.errors import Transient

BUCKET = "shelf"
THREE_CHUNKS = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"the rest"


@pytest.fixture(params=["memory", "jetstream"])
async def objects(request: pytest.FixtureRequest, nats_url: str) -> AsyncIterator[Objects]:
    if request.param == "memory":
        yield MemoryObjects()
        return
    client = await connect(nats_url, "conformance")
    yield JetStreamObjects(client, BUCKET)
    await client.close()


async def put(objects: Objects, name: str, data: bytes, **headers: str) -> None:
    await objects.put(name, BytesIO(data), headers)


async def read(objects: Objects, name: str) -> bytes:
    return b"".join([chunk async for chunk in objects.get(name)])


@pytest.mark.parametrize("data", [b"", b"a line\n", THREE_CHUNKS], ids=len)
async def test_what_was_put_is_read(objects: Objects, data: bytes) -> None:
    await put(objects, "one.gz", data, made="today")

    assert await read(objects, "one.gz") == data
    assert await objects.info("one.gz") == ObjectInfo("one.gz", len(data), {"made": "today"})


async def test_it_comes_in_chunks(objects: Objects) -> None:
    await put(objects, "one", THREE_CHUNKS)

    chunks = [len(chunk) async for chunk in objects.get("one")]
    assert chunks == [CHUNK_BYTES, CHUNK_BYTES, len(b"the rest")]


async def test_what_was_never_put_is_missing(objects: Objects) -> None:
    assert await objects.info("one") is None
    assert await objects.infos() == []
    with pytest.raises(ObjectMissing, match="one"):
        await read(objects, "one")
    await objects.delete("one")


async def test_a_later_put_replaces_the_whole(objects: Objects) -> None:
    await put(objects, "one", THREE_CHUNKS, version="1")
    await put(objects, "one", b"short", version="2")

    assert await read(objects, "one") == b"short"
    assert await objects.infos() == [ObjectInfo("one", 5, {"version": "2"})]
    assert await objects.reclaim() == 0


async def test_what_is_there_is_listed_by_name(objects: Objects) -> None:
    for name in ("b", "a", "gone"):
        await put(objects, name, name.encode())
    await objects.delete("gone")

    assert [info.name for info in await objects.infos()] == ["a", "b"]
    with pytest.raises(ObjectMissing):
        await read(objects, "gone")


class Broken(BytesIO):
    """A source that cannot be read to its end."""

    def readinto(self, buffer: object, /) -> int:
        if self.tell() >= CHUNK_BYTES:
            raise OSError("the disk is gone")
        return super().readinto(cast("bytearray", buffer))

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("the disk is gone")


async def test_a_put_that_is_cut_off_changes_nothing(objects: Objects) -> None:
    await put(objects, "one", b"before")

    with pytest.raises((OSError, Transient)):
        await objects.put("one", Broken(THREE_CHUNKS), {})

    assert await read(objects, "one") == b"before"


async def test_damage_is_told(nats_url: str) -> None:
    client = await connect(nats_url, "conformance")
    js, stored = jetstream(client), JetStreamObjects(client, BUCKET)
    stream = subjects.objects_stream(BUCKET)
    await put(stored, "one", THREE_CHUNKS)
    await js.delete_msg(stream, 2)

    with pytest.raises(ObjectDamaged, match="no chunk 3 of 3"):
        await read(stored, "one")

    await js.purge_stream(stream, subject=subjects.object_chunks(BUCKET, ">"))
    with pytest.raises(ObjectDamaged, match="no chunk 1 of 3"):
        await read(stored, "one")
    await client.close()


async def test_other_bytes_are_told(nats_url: str) -> None:
    client = await connect(nats_url, "conformance")
    js, stored = jetstream(client), JetStreamObjects(client, BUCKET)
    await put(stored, "one", THREE_CHUNKS)
    chunk = await js.get_msg(subjects.objects_stream(BUCKET), 1)
    await js.delete_msg(subjects.objects_stream(BUCKET), 3)
    await js.publish(chunk.subject or "", b"the rust")

    with pytest.raises(ObjectDamaged, match="other bytes"):
        await read(stored, "one")
    await client.close()


async def test_what_a_dead_putter_left_is_reclaimed(nats_url: str) -> None:
    client = await connect(nats_url, "conformance")
    stored = JetStreamObjects(client, BUCKET)
    await put(stored, "one", b"kept")
    await jetstream(client).publish(subjects.object_chunks(BUCKET, "dead"), b"half of it")

    assert await stored.reclaim() == 1
    assert await stored.reclaim() == 0
    assert await read(stored, "one") == b"kept"
    await client.close()


async def test_other_clients_read_it_too(nats_url: str) -> None:
    client = await connect(nats_url, "conformance")
    await put(JetStreamObjects(client, BUCKET), "one", THREE_CHUNKS)

    found = await (await jetstream(client).object_store(BUCKET)).get("one")

    assert found.data == THREE_CHUNKS
    await client.close()
