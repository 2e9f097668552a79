"""Whatever happens between two steps, a segment or its verified archive is whole."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from io import BufferedIOBase, BytesIO
from pathlib import Path

import pytest

from services.logs import LogsError, Wanted, find, restore
from services.maintenance.archive.archiver import Batch
from services.maintenance.store.logs import LogArchiveStore
from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.objects import JetStreamObjects, Objects
from shared.messages import subjects
from shared.runtime.embedded.nats import EmbeddedNats
from shared.workflow.errors import NotSent, Transient
from tests.integration.logs.conftest import NOW, WEEK, Depot

OLD = WEEK + timedelta(seconds=1)


class Killed(BaseException):
    """Stands for the death of the process: nothing catches it."""


async def restored(depot: Depot, name: str, to: Path) -> bytes:
    await restore(depot.objects, [name], to, lambda _: None)
    return (to / name).read_bytes()


async def test_old_segments_move_and_come_back_byte_by_byte(depot: Depot, tmp_path: Path) -> None:
    path, young = depot.write(age=OLD), depot.write(age=WEEK, unique="2-b")
    before = path.read_bytes()
    assert len(before) > 400_000

    batch = await depot.archiver().archive(NOW, WEEK)

    assert batch == Batch(archived=1, bytes=len(before))
    assert [each.name for each in depot.folder.iterdir()] == [young.name]
    assert await depot.rows() == [path.name]
    assert await restored(depot, path.name, tmp_path / "back") == before


def fail_at(step: str, depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the process die before the step."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    async def die_soon(*_: object, **__: object) -> None:
        raise Killed

    async def die_within(
        _self: object, _name: str, source: BufferedIOBase, _headers: object
    ) -> None:
        client = await connect(depot.nats_url, "half")
        chunks = subjects.object_chunks(subjects.LOG_ARCHIVE_BUCKET, "half")
        await jetstream(client).publish(chunks, source.read(9))
        await client.close()
        raise Killed

    targets: dict[str, tuple[object, str, Callable[..., object]]] = {
        "put": (JetStreamObjects, "put", die_soon),
        "within put": (JetStreamObjects, "put", die_within),
        "read back": (JetStreamObjects, "get", die),
        "note": (LogArchiveStore, "note", die_soon),
        "delete": (Path, "unlink", die),
    }
    monkeypatch.setattr(*targets[step])


@pytest.mark.parametrize("step", ["put", "within put", "read back", "note", "delete"])
async def test_killed_between_two_steps_nothing_is_lost_and_the_next_run_finishes(
    depot: Depot, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = depot.write(age=OLD)
    before = path.read_bytes()
    await depot.objects.infos()
    if step == "within put":
        await depot.objects.put("another", BytesIO(), {})  # makes the bucket
        await depot.objects.delete("another")
    with monkeypatch.context() as patched:
        fail_at(step, depot, patched)
        with pytest.raises(Killed):
            await depot.archiver().archive(NOW, WEEK)
    assert path.read_bytes() == before

    batch = await depot.archiver().archive(NOW, WEEK)

    assert (batch.archived, batch.failed) == (1, 0)
    assert not path.exists()
    assert await depot.rows() == [path.name]
    assert await restored(depot, path.name, tmp_path / "back") == before
    assert await depot.objects.reclaim() == 0


KILLED_AT = """
import asyncio, os, signal, sys
from datetime import timedelta
from pathlib import Path
from services.maintenance.archive.archiver import Archiver
from shared.jetstream.connection import connect
from shared.jetstream.objects import JetStreamObjects
from shared.messages import subjects
from shared.postgres.pool import create_pool
from tests.integration.logs.conftest import NOW, WEEK

Path.unlink = lambda self, **_: os.kill(os.getpid(), signal.SIGKILL)

async def main(folder, nats_url, database_url):
    objects = JetStreamObjects(await connect(nats_url, "dying"), subjects.LOG_ARCHIVE_BUCKET)
    pool = await create_pool(database_url, size=2, name="dying", idle_timeout_seconds=30)
    await Archiver(Path(folder), objects, pool).archive(NOW, WEEK)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_process_killed_before_it_deletes_leaves_both_and_no_lock(
    depot: Depot, tmp_path: Path
) -> None:
    path = depot.write(age=OLD)
    before = path.read_bytes()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED_AT,
        str(depot.folder),
        depot.nats_url,
        depot.database_url,
    )
    assert await process.wait() == -signal.SIGKILL
    assert path.read_bytes() == before
    assert await restored(depot, path.name, tmp_path / "back") == before

    async with asyncio.timeout(20):
        while True:
            try:
                batch = await depot.archiver().archive(NOW, WEEK)
                break
            except NotSent:  # PostgreSQL has not noticed the death yet
                await asyncio.sleep(0.05)
    assert batch.archived == 1
    assert not path.exists()


async def test_damage_found_at_read_back_keeps_the_file_and_the_next_run_replaces_the_archive(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = depot.write(age=OLD)
    before, put = path.read_bytes(), JetStreamObjects.put
    stream = subjects.objects_stream(subjects.LOG_ARCHIVE_BUCKET)
    client = await connect(depot.nats_url, "damage")

    async def put_and_damage(
        self: JetStreamObjects, name: str, source: BufferedIOBase, headers: dict[str, str]
    ) -> None:
        await put(self, name, source, headers)
        chunks = subjects.object_chunks(subjects.LOG_ARCHIVE_BUCKET, ">")
        await jetstream(client).purge_stream(stream, subject=chunks)

    with monkeypatch.context() as patched:
        patched.setattr(JetStreamObjects, "put", put_and_damage)
        batch = await depot.archiver().archive(NOW, WEEK)
    assert (batch.archived, batch.failed) == (0, 1)
    assert path.read_bytes() == before
    assert await depot.rows() == []
    with pytest.raises(LogsError, match="no chunk 1"):
        await restored(depot, path.name, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []

    assert (await depot.archiver().archive(NOW, WEEK)).archived == 1
    assert await restored(depot, path.name, tmp_path / "back") == before
    await client.close()


async def test_another_archive_under_the_name_is_replaced(depot: Depot, tmp_path: Path) -> None:
    path = depot.write(age=OLD)
    before = path.read_bytes()
    await depot.objects.put(f"{path.name}.gz", BytesIO(), {"service": "player"})

    assert (await depot.archiver().archive(NOW, WEEK)).archived == 1
    assert await restored(depot, path.name, tmp_path / "back") == before


async def test_two_replicas_at_once_archive_each_segment_once(depot: Depot) -> None:
    for number in range(5):
        depot.write(age=OLD, unique=f"{number}-a", lines=100)
    results = await asyncio.gather(
        *(depot.archiver().archive(NOW, WEEK) for _ in range(2)), return_exceptions=True
    )
    done = [each for each in results if isinstance(each, Batch)]
    refused = [each for each in results if isinstance(each, NotSent)]
    assert len(done) + len(refused) == 2
    assert sum(each.archived for each in done) == 5
    assert sum(each.failed for each in done) == 0
    assert len(await depot.rows()) == len(await depot.objects.infos()) == 5


async def test_while_another_replica_archives_nothing_is_touched(depot: Depot) -> None:
    path = depot.write(age=OLD)
    async with depot.pool.acquire() as connection:
        other = LogArchiveStore(connection)
        assert await other.try_lock()
        with pytest.raises(NotSent):
            await depot.archiver().archive(NOW, WEEK)
        assert path.exists()
        assert await depot.objects.infos() == []
        await other.unlock()
    assert (await depot.archiver().archive(NOW, WEEK)).archived == 1


async def test_a_batch_ends_in_time_and_the_next_goes_on(depot: Depot) -> None:
    names = [depot.write(age=OLD, unique=f"{n}-a", lines=10).name for n in range(3)]
    archiver = depot.archiver(batch_seconds=0)

    first = await archiver.archive(NOW, WEEK)
    assert (first.archived, first.last) == (1, names[0])
    second = await archiver.archive(NOW, WEEK, names[0])
    assert (second.archived, second.last) == (1, names[1])
    third = await archiver.archive(NOW, WEEK, names[1])
    assert (third.archived, third.last) == (1, None)


async def test_with_nats_away_nothing_is_deleted(depot: Depot, own_nats: EmbeddedNats) -> None:
    path = depot.write(age=OLD)
    client = await connect(own_nats.url, "logs")
    away: Objects = JetStreamObjects(client, subjects.LOG_ARCHIVE_BUCKET)
    await own_nats.kill()

    with pytest.raises(Transient):
        await depot.archiver(away).archive(NOW, WEEK)

    assert path.exists()
    assert await depot.rows() == []
    await close(client)


async def test_what_is_archived_is_found_by_service_and_time(depot: Depot) -> None:
    path = depot.write(age=OLD)
    await depot.archiver().archive(NOW, WEEK)

    assert list(await find(depot.objects, Wanted(service="player"))) == [path.name]
    assert await find(depot.objects, Wanted(service="billing")) == {}
    assert await find(depot.objects, Wanted(since=NOW - OLD + timedelta(seconds=1))) == {}
    assert list(await find(depot.objects, Wanted(since=NOW - OLD, until=NOW))) == [path.name]
    assert await find(depot.objects, Wanted(until=NOW - OLD - timedelta(hours=2))) == {}


async def test_a_restore_replaces_no_other_file(depot: Depot, tmp_path: Path) -> None:
    path = depot.write(age=OLD)
    digest = sha256(path.read_bytes()).hexdigest()
    await depot.archiver().archive(NOW, WEEK)
    await restored(depot, path.name, tmp_path)
    assert sha256(await restored(depot, path.name, tmp_path)).hexdigest() == digest

    (tmp_path / path.name).write_text("mine")
    with pytest.raises(LogsError, match="other bytes"):
        await restored(depot, path.name, tmp_path)
    assert (tmp_path / path.name).read_text() == "mine"
    with pytest.raises(LogsError, match="no segment nothing"):
        await restored(depot, "nothing", tmp_path)
