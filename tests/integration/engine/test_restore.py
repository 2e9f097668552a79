"""What a backup has is there again after a restore, and goes on; nothing else is touched."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.backup.manifest import BackupError, open_backup
from services.backup.restoring import restore_service
from services.backup.taking import take_backup
from shared.jetstream.connection import close, connect
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages.workflows import Status
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.recovery import recover_service
from shared.testing.samples import SampleWorkflow, StartSample
from shared.testing.servers import Databases
from shared.workflow.records import InstanceKey
from shared.workflow.step import Skipped, Step
from tests.integration.engine.conftest import MakePlace, Place, StartService

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
SLEEP_SECONDS = 2.0

Take = Callable[[Place], Awaitable[Path]]
Restore = Callable[[Path, Place], Awaitable[None]]


def ignore(_: str) -> None:
    """Nobody watches."""


class Interrupted(SampleWorkflow):
    """Whose instance `unfinished` stops in its third step for as long as the process lives."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def leave_row(self, step: Step, number: int, start: StartSample) -> str | Skipped:
        """Stops before it does anything."""
        if step.workflow_id == "unfinished" and number == 2:
            self.reached.set()
            await asyncio.Event().wait()
        return await super().leave_row(step, number, start)


@pytest.fixture
def sql(tmp_path: Path) -> Mapping[str, Path]:
    """The migrations that `make_place` applies."""
    return {"engine": ENGINE_SQL, "sample": tmp_path}


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Takes a backup of a place; returns its folder."""

    async def take(place: Place) -> Path:
        folder = tmp_path / "backups" / "first"
        await take_backup(folder, {"sample": place.database_url}, {}, NOW, ignore)
        return folder

    return take


@pytest.fixture
def restore(sql: Mapping[str, Path]) -> Restore:
    """Restores it into a place."""

    async def restore(folder: Path, place: Place) -> None:
        found = open_backup(folder)
        await restore_service("sample", place.database_url, found, sql, books=None, say=ignore)

    return restore


@pytest.fixture
async def empty_place(databases: Databases, nats_url: str) -> AsyncIterator[Place]:
    """A database where the service has a role and a schema, and nothing in it."""
    url = await databases.create("sample", {})
    place = Place(nats_url, url)
    await place.fetch("DROP TABLE schema_migrations")
    yield place
    await databases.drop(url)


async def rows(place: Place) -> dict[str, list[tuple[object, ...]]]:
    """All that a place holds, by table."""
    tables = await place.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'sample' ORDER BY tablename"
    )
    return {
        str(name): await place.fetch(f'SELECT t::text FROM "{name}" AS t ORDER BY 1')
        for [name] in tables
    }


async def status_of(place: Place, workflow_id: str) -> Status | None:
    client = await connect(place.nats_url, "test")
    stored = await JetStreamStatusBucket(client).get(InstanceKey("sample", workflow_id))
    await close(client)
    return stored.document.status if stored else None


async def test_in_a_fresh_database_all_is_there_and_what_had_not_ended_ends_once(
    nats_url: str,
    empty_place: Place,
    make_place: MakePlace,
    start_service: StartService,
    take: Take,
    restore: Restore,
) -> None:
    place = await make_place(nats_url)
    workflow = Interrupted()
    replica = await start_service(place, workflow, drain_seconds=0.1)
    await place.publish(
        [StartSample(id="ended"), StartSample(id="failed", fail_step=1, failures=1, final=True)]
    )
    await place.publish([StartSample(id="parked", sleep_seconds=SLEEP_SECONDS)])
    # Its sleep puts the first steps into a commit of their own.
    await place.publish([StartSample(id="unfinished", sleep_seconds=0.1)])
    await workflow.reached.wait()
    await place.until(
        "SELECT count(*) = 2 FROM workflow_instances WHERE status IN ('complete', 'errored')"
    )

    folder = await take(place)
    await replica.stop()
    before = await place.fetch("SELECT id, status FROM workflow_instances ORDER BY id")
    await restore(folder, empty_place)

    restored = await empty_place.fetch("SELECT id, status FROM workflow_instances ORDER BY id")
    assert [row[0] for row in restored] == [row[0] for row in before]
    await recover_service("sample", ["sample"], empty_place.settings(), ignore)
    await start_service(empty_place)
    await empty_place.until_ended(3)
    await empty_place.until_settled()
    ended = await empty_place.fetch("SELECT id, status FROM workflow_instances ORDER BY id")
    assert dict(ended) == {
        "ended": Status.COMPLETE,
        "failed": Status.ERRORED,
        "parked": Status.COMPLETE,
        "unfinished": Status.COMPLETE,
    }
    assert await empty_place.doubled() == []
    assert await empty_place.wrong_statuses() == []


async def test_an_older_backup_takes_the_place_of_all_that_came_since(
    nats_url: str, make_place: MakePlace, start_service: StartService, take: Take, restore: Restore
) -> None:
    place = await make_place(nats_url)
    replica = await start_service(place)
    await place.publish([StartSample(id="before"), StartSample(id="asleep", sleep_seconds=1)])
    await place.until("SELECT count(*) = 2 FROM workflow_instances WHERE status <> 'running'")
    folder = await take(place)
    as_backed_up = await place.fetch("SELECT i::text FROM workflow_instances AS i")
    await place.until_ended(2)
    await place.publish([StartSample(id="after")])
    await place.until_ended(3)
    await place.until_settled()
    assert await replica.stop() is None
    await place.fetch("CREATE TABLE of_a_later_build (id integer)")

    await restore(folder, place)

    assert await place.fetch("SELECT i::text FROM workflow_instances AS i") == as_backed_up
    assert await place.fetchval("SELECT to_regclass('of_a_later_build')") is None
    assert await status_of(place, "after") == Status.COMPLETE
    done = await recover_service("sample", ["sample"], place.settings(), ignore)
    assert (done.forgotten, done.instances) == (1, 2)
    assert await status_of(place, "after") is None
    assert await place.wrong_statuses() == []
    await start_service(place)
    await place.publish([StartSample(id="after")])
    await place.until_ended(3)
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []


async def test_rows_of_tables_that_stand_for_others_are_neither_taken_nor_put_back(
    nats_url: str, make_place: MakePlace, sql: Mapping[str, Path], tmp_path: Path
) -> None:
    place = await make_place(nats_url)
    await place.fetch("INSERT INTO effects (workflow_id, step) VALUES ('old', 'paid')")
    folder = tmp_path / "backup"
    await take_backup(folder, {"sample": place.database_url}, {"sample": "eff*"}, NOW, ignore)
    assert b"paid" not in (folder / "sample.dump").read_bytes()
    await place.fetch("INSERT INTO effects (workflow_id, step) VALUES ('new', 'paid')")
    await place.fetch("UPDATE counters SET value = 7")

    await restore_service(
        "sample", place.database_url, open_backup(folder), sql, books="eff*", say=ignore
    )

    assert await place.fetchval("SELECT sum(value) FROM counters") == 0
    await place.fetch("INSERT INTO effects (workflow_id, step) VALUES ('newest', 'paid')")
    kept = await place.fetch("SELECT id, workflow_id FROM effects ORDER BY id")
    assert kept == [(1, "old"), (2, "new"), (3, "newest")]


async def test_a_restore_that_fails_half_way_has_changed_nothing(
    nats_url: str, make_place: MakePlace, sql: Mapping[str, Path], take: Take
) -> None:
    place = await make_place(nats_url)
    folder = await take(place)
    # Books of a later build: what the backup has in place of them lacks a column.
    await place.fetch("ALTER TABLE effects ADD COLUMN since date DEFAULT now()")
    await place.fetch("INSERT INTO effects (workflow_id, step) VALUES ('new', 'paid')")
    before = await rows(place)

    with pytest.raises(BackupError, match="psql failed"):
        await restore_service(
            "sample", place.database_url, open_backup(folder), sql, books="effects", say=ignore
        )

    assert await rows(place) == before


def truncate(folder: Path) -> str:
    """Returns what is said of it, as of the others."""
    dump = folder / "sample.dump"
    dump.write_bytes(dump.read_bytes()[:-1])
    return "sample.dump is not what was written"


def flip(folder: Path) -> str:
    dump = folder / "sample.dump"
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    return "sample.dump is not what was written"


def lose(folder: Path) -> str:
    (folder / "sample.dump").unlink()
    return "sample.dump is missing"


def never_finish(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "is no backup, it has no manifest.json"


def garble(folder: Path) -> str:
    (folder / "manifest.json").write_text("{")
    return "manifest.json is damaged"


def change_format(folder: Path) -> str:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    return "has format 2, this build reads 1"


@pytest.mark.parametrize("damage", [truncate, flip, lose, never_finish, garble, change_format])
async def test_damage_is_found_before_anything_is_changed(
    nats_url: str, make_place: MakePlace, take: Take, damage: Callable[[Path], str]
) -> None:
    folder = await take(await make_place(nats_url))
    said = damage(folder)

    with pytest.raises(BackupError, match=said):
        open_backup(folder)


async def test_a_wrong_target_is_refused_and_not_changed(
    nats_url: str,
    make_place: MakePlace,
    empty_place: Place,
    databases: Databases,
    take: Take,
    restore: Restore,
) -> None:
    folder = await take(await make_place(nats_url))
    other = Place(nats_url, await databases.create("other", {}))
    with pytest.raises(BackupError, match=r"works in the schema other, .* is of sample"):
        await restore(folder, other)
    await databases.drop(other.database_url)

    await empty_place.fetch("CREATE TABLE somebody_elses (id integer)")
    with pytest.raises(BackupError, match=r"tables that are not ours \(somebody_elses\)"):
        await restore(folder, empty_place)
    assert await rows(empty_place) == {"somebody_elses": []}


async def test_a_service_at_work_is_named_and_left_alone(
    nats_url: str, make_place: MakePlace, start_service: StartService, take: Take, restore: Restore
) -> None:
    place = await make_place(nats_url)
    await start_service(place)
    await place.publish([StartSample(id="one")])
    await place.until_ended(1)
    folder = await take(place)

    with pytest.raises(BackupError, match=r"works on the database of sample: .*sample-steps \("):
        await restore(folder, place)

    await place.publish([StartSample(id="two")])
    await place.until_ended(2)


async def test_a_backup_of_newer_migrations_than_the_code_is_refused(
    nats_url: str, make_place: MakePlace, take: Take, sql: Mapping[str, Path]
) -> None:
    place = await make_place(nats_url)
    await place.fetch("INSERT INTO schema_migrations VALUES ('sample', 2, 'later')")
    folder = await take(place)

    with pytest.raises(BackupError, match="has migration 0002 of sample, which this build does"):
        await restore_service(
            "sample", place.database_url, open_backup(folder), sql, books=None, say=ignore
        )


async def test_what_is_older_than_the_code_is_brought_up_to_date(
    nats_url: str,
    make_place: MakePlace,
    take: Take,
    restore: Restore,
    sql: Mapping[str, Path],
) -> None:
    place = await make_place(nats_url)
    folder = await take(place)
    (sql["sample"] / "0002_later.sql").write_text("CREATE TABLE later (id integer)")

    await restore(folder, place)

    assert "later" in await rows(place)


async def test_a_backup_is_private_and_never_takes_the_place_of_another(
    nats_url: str, make_place: MakePlace, take: Take
) -> None:
    place = await make_place(nats_url)
    folder = await take(place)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(each.name for each in folder.iterdir()) == ["manifest.json", "sample.dump"]
    with pytest.raises(BackupError, match="is there already"):
        await take(place)
    assert open_backup(folder).services == ["sample"]


async def test_a_backup_that_fails_leaves_nothing_behind(
    empty_place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "backups" / "first"

    with pytest.raises(BackupError, match="has no tables of ours"):
        await take_backup(folder, {"sample": empty_place.database_url}, {}, NOW, ignore)

    assert list(folder.parent.iterdir()) == []
