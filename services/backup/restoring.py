"""`padawanforge restore`: a service's schema as a backup has it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path

import asyncpg

from services.backup.manifest import Backup, BackupError, Part, require_known
from services.backup.programs import run
from shared.postgres.migrations import Connection, migrate

ENDING_SESSIONS_LOOKS = 20
ENDING_SESSIONS_SECONDS = 0.1

SESSIONS = """
    SELECT application_name, count(*) AS sessions FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    GROUP BY application_name ORDER BY application_name
"""

RELATIONS = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
"""

HAVE_BOOKS = "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = $1 AND tablename LIKE $2"

# Whatever there is and not only what the backup has: a later build may have added to it.
# The schema itself stays, since its role may not make one.
EMPTY = """
SET lock_timeout = '5s';
DO $$
DECLARE
    own CONSTANT regnamespace := current_schema()::regnamespace;
    statement text;
BEGIN
    FOREACH statement IN ARRAY ARRAY(
        SELECT format('DROP %s IF EXISTS %I CASCADE', CASE relkind
            WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
            WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname)
        FROM pg_class WHERE relnamespace = own AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        ORDER BY relkind = 'S'
    ) || ARRAY(
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = own
    ) || ARRAY(
        SELECT format('DROP TYPE IF EXISTS %I CASCADE', typname)
        FROM pg_type WHERE typnamespace = own AND typtype IN ('e', 'd', 'r')
    ) LOOP
        EXECUTE statement;
    END LOOP;
END $$;
"""


async def require_target(service: str, url: str, backup: Backup, sql: Mapping[str, Path]) -> None:
    """Raises BackupError unless the backup can be restored there; changes nothing.

    `sql` has the folders of the migrations that this build knows, by set.
    """
    part = backup.part(service)
    require_known(part, sql)
    connection = await asyncpg.connect(url)
    try:
        await _require_schema(connection, part)
        await _require_alone(connection, service)
    finally:
        await connection.close()


async def restore_service(
    service: str,
    url: str,
    backup: Backup,
    sql: Mapping[str, Path],
    *,
    books: str | None,
    say: Callable[[str], None],
) -> None:
    """Gives the schema of the role in `url` the tables and rows of the backup, in one transaction,
    and brings it up to date.

    Rows of tables that fit the pattern `books` stay as they are. Raises what `require_target`
    does, before anything is changed.
    """
    await require_target(service, url, backup, sql)
    part = backup.part(service)
    with tempfile.TemporaryDirectory(prefix="padawanforge-restore-") as name:
        scratch = Path(name)
        scripts = [scratch / "empty.sql", scratch / "backup.sql"]
        scripts[0].write_text(EMPTY)
        # A script and not a pipe: one that breaks off is never taken for a whole one.
        await run(
            "pg_restore",
            *("--schema", part.schema, "--no-owner", "--no-privileges", "--exit-on-error"),
            *("--file", str(scripts[1]), str(backup.path(part))),
        )
        if books and await _has_books(url, part.schema, books):
            scripts.append(scratch / "books.sql")
            # A backup of before these tables has none to put the rows into.
            rows_only = ("--data-only",) if await _has_table(scripts[1], part.schema, books) else ()
            await run(
                "pg_dump",
                *(*rows_only, "--no-owner", "--no-privileges"),
                *("--table", f"{part.schema}.{books}", "--file", str(scripts[2])),
                url=url,
            )
            say(f"{service}: the rows of {books} stay as they are")
        await run(
            "psql",
            *("--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction"),
            *(option for script in scripts for option in ("--file", str(script))),
            url=url,
        )
    connection = await asyncpg.connect(url)
    try:
        for file in await migrate(connection, sql):
            say(f"applied {file}")
        # Nobody has looked at these tables yet, and plans are made by what was seen.
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _require_schema(connection: Connection, part: Part) -> None:
    schema = await connection.fetchval("SELECT current_schema()")
    if schema != part.schema:
        raise BackupError(
            f"the database's role works in the schema {schema or '(none)'}, and the backup of "
            f"{part.service} is of {part.schema}: give the address as the role {part.service}, "
            f"whose search_path is that schema"
        )
    relations = {row["relname"] for row in await connection.fetch(RELATIONS)}
    if relations and "schema_migrations" not in relations:
        raise BackupError(
            f"the schema {schema} has tables that are not ours ({', '.join(sorted(relations)[:3])}"
            "): correct the address, or empty the schema yourself"
        )


async def _require_alone(connection: Connection, service: str) -> None:
    found = await connection.fetch(SESSIONS)
    for _ in range(ENDING_SESSIONS_LOOKS):
        if not found:
            return
        # One that was closed a moment ago is still there for another.
        await asyncio.sleep(ENDING_SESSIONS_SECONDS)
        found = await connection.fetch(SESSIONS)
    if found:
        names = ", ".join(f"{row['application_name'] or '?'} ({row['sessions']})" for row in found)
        raise BackupError(
            f"somebody works on the database of {service}: {names}. Stop all replicas of the "
            "service and close other sessions of its role, then restore again"
        )


async def _has_books(url: str, schema: str, books: str) -> bool:
    pattern = books.replace("_", r"\_").replace("*", "%")
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval(HAVE_BOOKS, schema, pattern))
    finally:
        await connection.close()


async def _has_table(script: Path, schema: str, books: str) -> bool:
    def look() -> bool:
        with script.open() as lines:
            return any(fnmatch(line, f"CREATE TABLE {schema}.{books} (*") for line in lines)

    return await asyncio.to_thread(look)
