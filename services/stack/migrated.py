"""Waiting for a schema that something else brings up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from services.stack.stack import migrations_of
from shared.postgres.migrations import MigrationError, pending

POLL_SECONDS = 0.5
CONNECT_SECONDS = 5.0


async def wait_until_migrated(
    name: str, url: str, wait_seconds: float, say: Callable[[str], None]
) -> None:
    """Returns once the service's schema has all of this build's migrations; changes nothing.

    A server or a role that is not there yet is waited for, too. Raises MigrationError when
    `wait_seconds` have passed, and at once where waiting would not help.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    told = ""
    while lacking := await _lacking(name, url):
        if loop.time() >= deadline:
            raise MigrationError(
                f"the schema of {name} is not up to date after {wait_seconds:g} s: {lacking}; "
                f"run padawanforge migrate {name}, or look why it failed"
            )
        if lacking != told:
            say(f"waits for the schema of {name}: {lacking}")
            told = lacking
        await asyncio.sleep(POLL_SECONDS)


async def _lacking(name: str, url: str) -> str:
    """What is missing, in words; nothing if nothing is."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        try:
            files = await pending(connection, migrations_of(name))
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError) as error:
        return f"the database does not answer ({type(error).__name__}: {error})"
    return f"{', '.join(files)} not applied" if files else ""
