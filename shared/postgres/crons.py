"""Crons of one service in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.workflow.crons import StoredCron
from shared.workflow.ports import Connection


class CronStore:
    """The crons of a schema, within the transaction of a connection."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def all(self) -> list[StoredCron]:
        """Every cron by its name."""
        rows = await self._connection.fetch("SELECT * FROM crons ORDER BY name")
        return [_cron(row) for row in rows]

    async def lock(self, name: str) -> StoredCron | None:
        """A cron, this transaction's alone until it ends."""
        row = await self._connection.fetchrow(
            "SELECT * FROM crons WHERE name = $1 FOR UPDATE", name
        )
        return None if row is None else _cron(row)

    async def take_due(self, now: datetime, limit: int) -> list[StoredCron]:
        """Crons whose time has come and that no other replica is about to start."""
        rows = await self._connection.fetch(
            """
            SELECT * FROM crons WHERE paused_at IS NULL AND next_at <= $1
            ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
            """,
            now,
            limit,
        )
        return [_cron(row) for row in rows]

    async def move(self, name: str, last_at: datetime, next_at: datetime) -> None:
        """Goes on to the next nominal time."""
        await self._connection.execute(
            "UPDATE crons SET last_at = $2, next_at = $3 WHERE name = $1", name, last_at, next_at
        )

    async def pause(self, name: str, at: datetime, by: str) -> None:
        """Lets no nominal time start anything."""
        await self._connection.execute(
            "UPDATE crons SET paused_at = $2, paused_by = $3 WHERE name = $1", name, at, by
        )

    async def resume(self, name: str, next_at: datetime) -> None:
        """Goes on at a nominal time."""
        await self._connection.execute(
            "UPDATE crons SET paused_at = NULL, paused_by = NULL, next_at = $2 WHERE name = $1",
            name,
            next_at,
        )

    async def lock_revision(self) -> int:
        """Which revision of the declarations is stored, for one replica at a time to replace."""
        revision: int = await self._connection.fetchval(
            "SELECT revision FROM cron_revision FOR UPDATE"
        )
        return revision

    async def set_revision(self, revision: int) -> None:
        """Says which revision is stored."""
        await self._connection.execute("UPDATE cron_revision SET revision = $1", revision)

    async def save(self, cron: StoredCron) -> None:
        """Stores what is declared; what an operator paused stays paused."""
        await self._connection.execute(
            """
            INSERT INTO crons (name, kind, input, expression, time_zone, next_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (name) DO UPDATE SET
                kind = excluded.kind, input = excluded.input, expression = excluded.expression,
                time_zone = excluded.time_zone, next_at = excluded.next_at
            """,
            cron.name,
            cron.kind,
            cron.input.decode(),
            cron.expression,
            cron.time_zone,
            cron.next_at,
        )

    async def remove(self, names: Sequence[str]) -> None:
        """Deletes crons."""
        await self._connection.execute("DELETE FROM crons WHERE name = ANY($1::text[])", names)

    async def earliest_at(self, besides: Sequence[str] = ()) -> datetime | None:
        """The earliest next nominal time of all but those named; None where there is none."""
        earliest: datetime | None = await self._connection.fetchval(
            "SELECT min(next_at) FROM crons WHERE paused_at IS NULL AND name <> ALL ($1::text[])",
            besides,
        )
        return earliest


def _cron(row: Any) -> StoredCron:
    return StoredCron(
        name=row["name"],
        kind=row["kind"],
        input=row["input"].encode(),
        expression=row["expression"],
        time_zone=row["time_zone"],
        next_at=row["next_at"],
        last_at=row["last_at"],
        paused_at=row["paused_at"],
        paused_by=row["paused_by"],
    )
