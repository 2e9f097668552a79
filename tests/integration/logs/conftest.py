"""A folder of log segments, an archive and its rows, on real servers."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from services.maintenance.archive.archiver import Archiver
from shared.jetstream.connection import connect
from shared.jetstream.objects import JetStreamObjects, Objects
from shared.messages import subjects
from shared.messages.segments import stem
from shared.postgres.pool import create_pool
from tests.conftest import MakeDatabase

NOW = datetime(2026, 3, 20, 3, tzinfo=UTC)
WEEK = timedelta(days=7)


@dataclass
class Depot:
    """What archiving works on."""

    folder: Path
    objects: Objects
    pool: asyncpg.Pool[asyncpg.Record]
    nats_url: str
    database_url: str

    def archiver(self, objects: Objects | None = None, batch_seconds: float = 60.0) -> Archiver:
        return Archiver(
            self.folder, objects or self.objects, self.pool, batch_seconds=batch_seconds
        )

    def write(self, *, age: timedelta, unique: str = "1-a", lines: int = 20_000) -> Path:
        """A segment that was closed that long before NOW."""
        closed_at = NOW - age
        path = self.folder / f"{stem('player', closed_at - timedelta(hours=1), unique)}.jsonl"
        path.write_bytes(
            b"".join(json.dumps({"event": unique, "n": n}).encode() + b"\n" for n in range(lines))
        )
        os.utime(path, (closed_at.timestamp(), closed_at.timestamp()))
        return path

    async def rows(self) -> list[str]:
        found = await self.pool.fetch("SELECT name FROM log_archives ORDER BY name")
        return [row["name"] for row in found]


@pytest.fixture
async def depot(tmp_path: Path, make_database: MakeDatabase, nats_url: str) -> AsyncIterator[Depot]:
    database_url = await make_database("maintenance")
    folder = tmp_path / "segments"
    folder.mkdir()
    client = await connect(nats_url, "logs")
    pool = await create_pool(database_url, size=4, name="logs", idle_timeout_seconds=30)
    yield Depot(
        folder, JetStreamObjects(client, subjects.LOG_ARCHIVE_BUCKET), pool, nats_url, database_url
    )
    pool.terminate()
    await client.close()
