"""Moves closed log segments into the archive. At each instant the file or its archive is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import asyncpg
import structlog

from services.maintenance.archive.archives import as_headers, of_headers, unpacked
from services.maintenance.archive.gzipping import BLOCK_BYTES, Gzipped
from services.maintenance.rules.segments import Segment, archive_name, due
from services.maintenance.store.logs import LogArchiveStore
from shared.jetstream.objects import ObjectDamaged, ObjectMissing, Objects
from shared.messages.base import Message
from shared.messages.segments import CLOSED, Manifest, service_and_opening
from shared.runtime.segments import close_abandoned
from shared.workflow.errors import NotSent

log = structlog.get_logger(__name__)

BATCH_SECONDS = 60.0
"""After which a batch takes up no further segment."""


class Batch(Message, frozen=True, kw_only=True):
    """What one batch did."""

    archived: int = 0
    bytes: int = 0
    failed: int = 0
    last: str | None = None
    """The segment that the next batch goes on after; None when there is nothing more."""


class Archiver:
    """Archives the segments of one folder."""

    def __init__(
        self,
        folder: Path,
        objects: Objects,
        pool: asyncpg.Pool[asyncpg.Record],
        *,
        batch_seconds: float = BATCH_SECONDS,
    ):
        self._folder = folder
        self._objects = objects
        self._pool = pool
        self._batch_seconds = batch_seconds

    async def archive(self, now: datetime, keep: timedelta, after: str = "") -> Batch:
        """Archives what was closed more than `keep` ago, from the segment after `after` on.

        A segment that cannot be archived is told and left. Raises NotSent while another replica
        is at it, Transient while NATS is away, and OSError when the folder cannot be read.
        """
        async with self._alone() as store:
            await asyncio.to_thread(close_abandoned, self._folder)
            # Whoever was killed here had the lock.
            await self._objects.reclaim()
            began = monotonic()
            batch = Batch()
            for segment in due(await asyncio.to_thread(self._closed), now, keep, after):
                if batch.last is not None and monotonic() - began >= self._batch_seconds:
                    return batch
                batch = await self._counted(store, segment, now, batch)
        return Batch(archived=batch.archived, bytes=batch.bytes, failed=batch.failed)

    async def _counted(
        self, store: LogArchiveStore, segment: Segment, now: datetime, batch: Batch
    ) -> Batch:
        moved, failed = 0, 0
        try:
            moved = await self._move(store, segment, now)
        except (ObjectDamaged, ObjectMissing, OSError) as error:
            failed = 1
            log.error("log_segment_not_archived", segment=segment.name, reason=str(error))
        return Batch(
            archived=batch.archived + 1 - failed,
            bytes=batch.bytes + moved,
            failed=batch.failed + failed,
            last=segment.name,
        )

    async def _move(self, store: LogArchiveStore, segment: Segment, now: datetime) -> int:
        path = self._folder / segment.name
        manifest = await asyncio.to_thread(self._measured, segment)
        name = archive_name(segment.name)
        if not await self._is_whole(name, manifest):
            await self._put(name, path, manifest)
            await self._read_back(name, manifest)
        await store.note(segment.name, manifest, now)
        await asyncio.to_thread(path.unlink)
        return manifest.size_bytes

    async def _is_whole(self, name: str, manifest: Manifest) -> bool:
        """Whether an earlier run has put the same, which can be read."""
        info = await self._objects.info(name)
        if info is None:
            return False
        try:
            if of_headers(name, info.headers) != manifest:
                return False
            await self._read_back(name, manifest)
        except ObjectDamaged as error:
            log.error("log_archive_damaged", archive=name, reason=str(error))
            return False
        return True

    async def _put(self, name: str, path: Path, manifest: Manifest) -> None:
        # Compressed once more, since a copy on this disk would need the room that is being made.
        with path.open("rb") as raw:
            await self._objects.put(name, Gzipped(raw), as_headers(manifest))

    async def _read_back(self, name: str, manifest: Manifest) -> None:
        async for _ in unpacked(self._objects, name, manifest):
            pass

    def _measured(self, segment: Segment) -> Manifest:
        known = service_and_opening(segment.name)
        assert known is not None, segment  # noqa: S101 - `due` takes no others
        with (self._folder / segment.name).open("rb") as raw:
            gzipped = Gzipped(raw)
            while gzipped.read(BLOCK_BYTES):
                pass
        service, opened_at = known
        return Manifest(
            service=service,
            opened_at=opened_at,
            closed_at=segment.closed_at,
            size_bytes=gzipped.raw_bytes,
            sha256=gzipped.raw_sha256.hexdigest(),
            gzip_sha256=gzipped.gzip_sha256.hexdigest(),
        )

    def _closed(self) -> list[Segment]:
        return [
            Segment(path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))
            for path in self._folder.glob(f"*{CLOSED}")
        ]

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[LogArchiveStore]:
        """A store whose connection has the lock, which ends with the connection."""
        async with self._pool.acquire(timeout=5) as connection:
            store = LogArchiveStore(connection)
            if not await store.try_lock():
                raise NotSent("another replica archives the log")
            try:
                yield store
            finally:
                await store.unlock()
