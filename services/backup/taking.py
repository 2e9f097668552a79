"""`padawanforge backup`: the services' schemas, into a folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import asyncpg
import msgspec

from services.backup.manifest import (
    FILE,
    FORMAT,
    BackupError,
    Manifest,
    Part,
    describe,
    dump_name,
)
from services.backup.programs import run

APPLIED = "SELECT set_name, max(version) AS version FROM schema_migrations GROUP BY set_name"


async def take_backup(
    folder: Path,
    databases: Mapping[str, str],
    books: Mapping[str, str],
    now: datetime,
    say: Callable[[str], None],
) -> Manifest:
    """Writes a backup of each service's schema, by the URLs of their roles, services at work or
    not. Raises BackupError, and OSError; nothing is at `folder` then.

    `books` are, by service, patterns of tables whose rows are left out.
    """
    draft = _begin(folder)
    try:
        parts: list[Part] = []
        for service, url in databases.items():
            parts.append(await _dump(draft, service, url, books.get(service)))
            say(f"{service}: {parts[-1].size_bytes} bytes")
        manifest = Manifest(format=FORMAT, taken_at=now, parts=tuple(parts))
        _finish(draft, manifest, folder)
    except BaseException:
        shutil.rmtree(draft)
        raise
    return manifest


def _begin(folder: Path) -> Path:
    if folder.exists():
        raise BackupError(f"{folder} is there already: name a folder that is not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, for the rename; private, since it holds what customers entrusted to us.
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}.unfinished-", dir=folder.parent))


def _finish(draft: Path, manifest: Manifest, folder: Path) -> None:
    (draft / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    # What is renamed is on the disk, whenever the power goes.
    for path in (*draft.iterdir(), draft):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    draft.rename(folder)


async def _dump(draft: Path, service: str, url: str, books: str | None) -> Part:
    file = draft / dump_name(service)
    connection = await asyncpg.connect(url)
    try:
        # One snapshot for both: no migration comes between the tables and what is said of them.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            schema = await connection.fetchval("SELECT current_schema()")
            if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
                raise BackupError(
                    f"the database of {service} has no tables of ours: correct its address, or "
                    f"migrate it first (padawanforge migrate {service})"
                )
            applied = await connection.fetch(APPLIED)
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            await run(
                "pg_dump",
                *("--format", "custom", "--schema", schema, "--no-owner", "--no-privileges"),
                *("--exclude-table-data", f"{schema}.{books}") if books else (),
                *("--snapshot", snapshot, "--file", str(file)),
                url=url,
            )
    finally:
        await connection.close()
    size_bytes, sha256 = describe(file)
    return Part(
        service=service,
        schema=schema,
        migrations={row["set_name"]: row["version"] for row in applied},
        size_bytes=size_bytes,
        sha256=sha256,
    )
