"""`padawanforge migrate SERVICE --wait-seconds`: waits for another's migration, changes nothing."""

from __future__ import annotations

import asyncio
import sys

import asyncpg

from services.stack.stack import migrate_service
from shared.testing.servers import Databases


async def _wait(
    url: str, seconds: float
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "migrate", "player"),
        *("--database-url", url, "--wait-seconds", str(seconds)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    return process, process.stdout


async def _unmigrated(databases: Databases) -> str:
    url = await databases.create("player", {})
    connection = await asyncpg.connect(url)
    await connection.execute("DROP TABLE schema_migrations")
    await connection.close()
    return url


async def test_what_is_not_migrated_in_time_ends_with_a_sentence_and_unchanged(
    databases: Databases,
) -> None:
    url = await _unmigrated(databases)

    process, output = await _wait(url, 0)
    told = (await output.read()).decode()

    assert await process.wait() == 1
    assert "the schema of player is not up to date after 0 s: engine/0001" in told
    assert "run padawanforge migrate player" in told
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT to_regclass('schema_migrations')") is None
    await connection.close()


async def test_it_goes_on_as_soon_as_another_has_migrated(databases: Databases) -> None:
    url = await _unmigrated(databases)

    process, output = await _wait(url, 60)
    assert b"waits for the schema of player: engine/0001" in await output.readline()
    assert process.returncode is None
    await migrate_service("player", url)

    assert (await output.read()).endswith(b"the schema of player is up to date\n")
    assert await process.wait() == 0


async def test_a_server_that_is_away_is_told_without_the_password() -> None:
    process, output = await _wait("postgresql://player:s3cret@127.0.0.1:1/forge", 0)
    told = (await output.read()).decode()

    assert await process.wait() == 1
    assert "the database does not answer" in told
    assert "s3cret" not in told
