"""Migrations are applied once, in order, whoever else is migrating."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from shared.postgres.migrations import MigrationError, bootstrap, migrate, read_set
from shared.testing.servers import Databases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_coins.sql").write_text("CREATE TABLE coins (owner int, amount int);")
    (tmp_path / "0002_first.sql").write_text("INSERT INTO coins VALUES (1, 10);")
    return tmp_path


@pytest.fixture
async def empty(databases: Databases) -> str:
    """A database of a service without any table."""
    return await databases.create("spare", {})


async def test_replicas_that_start_at_once_apply_each_file_once(empty: str, folder: Path) -> None:
    connections = [await asyncpg.connect(empty) for _ in range(4)]

    applied = await asyncio.gather(*(migrate(each, {"spare": folder}) for each in connections))

    assert sorted(map(len, applied)) == [0, 0, 0, 2]
    assert await connections[0].fetchval("SELECT array_agg(amount) FROM coins") == [10]
    for each in connections:
        await each.close()


async def test_a_changed_file_is_refused_with_the_remedy(empty: str, folder: Path) -> None:
    connection = await asyncpg.connect(empty)
    await migrate(connection, {"spare": folder})
    (folder / "0002_first.sql").write_text("INSERT INTO coins VALUES (1, 99);")

    with pytest.raises(MigrationError, match=r"0002_first\.sql was changed .* next number"):
        await migrate(connection, {"spare": folder})

    assert await connection.fetchval("SELECT amount FROM coins") == 10
    await connection.close()


async def test_an_interrupted_migration_goes_on_where_it_stopped(empty: str, folder: Path) -> None:
    connection = await asyncpg.connect(empty)
    broken = folder / "0003_more.sql"
    broken.write_text("INSERT INTO coins VALUES (2, 20); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(MigrationError, match=r"0003_more\.sql was rolled back: .*nowhere"):
        await migrate(connection, {"spare": folder})
    broken.write_text("INSERT INTO coins VALUES (2, 20);")

    assert await migrate(connection, {"spare": folder}) == ["spare/0003_more.sql"]

    assert await connection.fetchval("SELECT sum(amount) FROM coins") == 30
    await connection.close()


async def test_a_number_below_the_applied_ones_is_refused(empty: str, folder: Path) -> None:
    connection = await asyncpg.connect(empty)
    (folder / "0001_coins.sql").rename(folder / "0004_coins.sql")
    (folder / "0002_first.sql").unlink()
    await migrate(connection, {"spare": folder})
    (folder / "0003_late.sql").write_text("SELECT 1;")

    with pytest.raises(MigrationError, match=r"0003_late\.sql comes before number 4"):
        await migrate(connection, {"spare": folder})
    await connection.close()


async def test_a_migration_does_not_queue_behind_a_held_table(empty: str, folder: Path) -> None:
    connection, holder = await asyncpg.connect(empty), await asyncpg.connect(empty)
    await migrate(connection, {"spare": folder})
    (folder / "0003_column.sql").write_text("ALTER TABLE coins ADD COLUMN note text;")
    async with holder.transaction():
        await holder.execute("LOCK TABLE coins IN ACCESS SHARE MODE")

        with pytest.raises(MigrationError, match="for a lock and was rolled back"):
            await migrate(connection, {"spare": folder}, lock_timeout_seconds=0.05)

    assert await migrate(connection, {"spare": folder}) == ["spare/0003_column.sql"]
    await connection.close()
    await holder.close()


async def test_a_service_cannot_read_another_services_schema(
    empty: str, databases: Databases, folder: Path
) -> None:
    owner = await asyncpg.connect(empty)
    await migrate(owner, {"spare": folder})
    superuser = await asyncpg.connect(databases.as_superuser(empty))
    await bootstrap(superuser, "other", "test")
    await bootstrap(superuser, "other", "test")
    await superuser.close()
    other = await asyncpg.connect(databases.as_role(empty, "other"))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await other.fetch("SELECT * FROM spare.coins")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await other.execute("CREATE TABLE public.mine (value int)")

    await owner.close()
    await other.close()


async def test_files_out_of_line_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("SELECT 1;")
    (tmp_path / "0001_two.sql").write_text("SELECT 2;")
    with pytest.raises(MigrationError, match="same number"):
        read_set("spare", tmp_path)
    (tmp_path / "0001_two.sql").rename(tmp_path / "next.sql")
    with pytest.raises(MigrationError, match=r"next\.sql must be named like"):
        read_set("spare", tmp_path)
