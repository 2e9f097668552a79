"""Numbered SQL files, applied once each into a service's schema; and the role that owns it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import asyncpg
import msgspec

ENGINE_SQL = Path(__file__).parent / "sql"
"""The engine's own tables, which every service's schema has."""

FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
SERVICE_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
LOCK_TIMEOUT_SECONDS = 5
"""A migration that waits longer for a table would hold up all that queue behind it."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs alone

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    set_name text NOT NULL,
    version integer NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (set_name, version)
)
"""


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message says why and what to do."""


class Migration(msgspec.Struct, frozen=True):
    """One file of a set."""

    set_name: str
    version: int
    path: Path
    sql: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.set_name}/{self.path.name}"

    @property
    def checksum(self) -> str:
        """Tells whether the file is still what was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(
    connection: Connection,
    directories: Mapping[str, Path],
    *,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> list[str]:
    """Brings the schema first in `search_path` up to date; returns the names of applied files.

    `directories` maps a set's name to its folder, in the order to apply them. Each file is a
    transaction of its own, so an interrupted migration goes on where it stopped; an advisory lock
    lets replicas start at once. Forward only. Raises MigrationError.
    """
    migrations = _read(directories)
    await connection.execute(
        "SELECT pg_advisory_lock(hashtextextended('migrations.' || current_schema(), 0))"
    )
    try:
        await connection.execute(CREATE_TABLE)
        lacking = await _pending(connection, migrations)
        for each in lacking:
            await _apply(connection, each, lock_timeout_seconds)
    finally:
        await connection.execute(
            "SELECT pg_advisory_unlock(hashtextextended('migrations.' || current_schema(), 0))"
        )
    return [each.name for each in lacking]


async def pending(connection: Connection, directories: Mapping[str, Path]) -> list[str]:
    """The names of the files that `migrate` would apply; changes nothing. Raises MigrationError."""
    migrations = _read(directories)
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return [each.name for each in migrations]
    return [each.name for each in await _pending(connection, migrations)]


def _read(directories: Mapping[str, Path]) -> list[Migration]:
    return [each for name, path in directories.items() for each in read_set(name, path)]


async def _pending(connection: Connection, migrations: list[Migration]) -> list[Migration]:
    rows = await connection.fetch("SELECT set_name, version, checksum FROM schema_migrations")
    applied = {(row["set_name"], row["version"]): row["checksum"] for row in rows}
    return [each for each in migrations if _is_pending(each, applied)]


def read_set(name: str, directory: Path) -> list[Migration]:
    """The files of one set in order. Raises MigrationError for a name or number out of line."""
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} must be named like 0001_players.sql: rename it")
        version = int(match[1])
        if version in found:
            raise MigrationError(
                f"{path} and {found[version].path.name} have the same number: renumber one"
            )
        found[version] = Migration(name, version, path, path.read_text())
    return list(found.values())


def _is_pending(migration: Migration, applied: Mapping[tuple[str, int], str]) -> bool:
    name, version = migration.set_name, migration.version
    checksum = applied.get((name, version))
    if checksum is None:
        latest = max((number for owner, number in applied if owner == name), default=0)
        if version < latest:
            raise MigrationError(
                f"{migration.path} comes before number {latest}, which is applied already: "
                "give it a higher number"
            )
        return True
    if checksum != migration.checksum:
        raise MigrationError(
            f"{migration.path} was changed after it had been applied: restore it, and put the "
            "change into a new file with the next number"
        )
    return False


async def _apply(connection: Connection, migration: Migration, lock_timeout_seconds: float) -> None:
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('lock_timeout', $1, true)",
                f"{round(lock_timeout_seconds * 1000)}ms",
            )
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (set_name, version, checksum) VALUES ($1, $2, $3)",
                migration.set_name,
                migration.version,
                migration.checksum,
            )
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(
            f"{migration.path} waited {lock_timeout_seconds:g} s for a lock and was rolled back: "
            "end the transaction that holds it, or migrate again when there is less to do"
        ) from error
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.path} was rolled back: {error}") from error


async def bootstrap(connection: Connection, service: str, password: str) -> None:
    """Gives a service its role and its schema of the same name, as superuser; repeatable.

    The role finds its schema through its `search_path`, and sees no other service's.
    """
    if not SERVICE_NAME.fullmatch(service):
        raise MigrationError(f"{service!r} is no service name: use lower case letters")
    async with connection.transaction():
        # Roles belong to the whole server, so two stacks on one server must not meet here.
        await connection.execute("LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE")
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", service)
        # Utility statements take no parameters: the server itself quotes the literal.
        secret = await connection.fetchval("SELECT quote_literal($1::text)", password)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f'{verb} ROLE "{service}" LOGIN PASSWORD {secret}')
        await connection.execute(f'ALTER ROLE "{service}" SET search_path = "{service}"')
        await connection.execute(
            f'CREATE SCHEMA IF NOT EXISTS "{service}" AUTHORIZATION "{service}"'
        )


async def create_database(connection: Connection, name: str) -> None:
    """Creates a database unless it is there, as superuser."""
    if not SERVICE_NAME.fullmatch(name):
        raise MigrationError(f"{name!r} is no database name: use lower case letters")
    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
        await connection.execute(f'CREATE DATABASE "{name}"')
