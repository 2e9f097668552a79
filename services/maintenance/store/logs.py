"""What was archived of the log."""

from __future__ import annotations

from datetime import datetime

from shared.messages.segments import Manifest
from shared.workflow.ports import Connection

LOCK = "maintenance.log_archives"


class LogArchiveStore:
    """The rows beside the archives, and the lock of whoever archives."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def try_lock(self) -> bool:
        """Takes the lock for this connection, unless another has it."""
        taken: bool = await self._connection.fetchval(
            "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", LOCK
        )
        return taken

    async def unlock(self) -> None:
        """Gives it back."""
        await self._connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", LOCK)

    async def note(self, name: str, manifest: Manifest, at: datetime) -> None:
        """Notes an archive that was read back and found whole."""
        await self._connection.execute(
            """
            INSERT INTO log_archives (
                name, service, opened_at, closed_at, size_bytes, sha256, gzip_sha256, verified_at
            ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (name) DO UPDATE SET
                closed_at = excluded.closed_at, size_bytes = excluded.size_bytes,
                sha256 = excluded.sha256, gzip_sha256 = excluded.gzip_sha256,
                verified_at = excluded.verified_at
            """,
            name,
            manifest.service,
            manifest.opened_at,
            manifest.closed_at,
            manifest.size_bytes,
            manifest.sha256,
            manifest.gzip_sha256,
            at,
        )
