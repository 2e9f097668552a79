"""What is still to be sent of the notices, for the courier."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from shared.messages.notices import LetterState, Notice
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble

ACQUIRE_SECONDS = 10.0

EVERY_OTHER = "*"
"""In routes: each name that has none of its own."""

# A notice is routed once. So a channel that is set up later is not flooded with what is past.
_ROUTE = """
    WITH taken AS (
        SELECT id, CASE WHEN name = ANY($1::text[]) THEN name ELSE $4 END AS route
        FROM notices WHERE routed_at IS NULL ORDER BY id LIMIT $5 FOR UPDATE SKIP LOCKED
    ), written AS (
        INSERT INTO notice_letters (notice_id, channel)
        SELECT taken.id, r.channel
        FROM taken JOIN unnest($2::text[], $3::text[]) AS r(route, channel) USING (route)
    )
    UPDATE notices AS n SET routed_at = clock_timestamp() FROM taken WHERE n.id = taken.id
    RETURNING n.id
"""

# What is claimed is moved forward by the statement that claims it, so that no transaction is open
# while it is sent, and what a crash leaves is sent again.
_CLAIM = """
    WITH due AS (
        SELECT notice_id, channel FROM notice_letters
        WHERE channel = $1 AND state = 'pending' AND next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE notice_letters AS d SET
        attempts = d.attempts + 1,
        next_attempt_at = clock_timestamp() + make_interval(secs => $2)
    FROM due JOIN notices AS n ON n.id = due.notice_id
    WHERE d.notice_id = due.notice_id AND d.channel = due.channel
    RETURNING n.id, d.channel, d.attempts, n.name, n.recipient, n.key, n.data, n.created_at
"""

# An attempt that was believed lost may still say that it was sent, and nothing else.
_SETTLE = """
    UPDATE notice_letters SET
        state = $4, error = $5,
        next_attempt_at = CASE WHEN $4 = 'pending'
                               THEN clock_timestamp() + make_interval(secs => $6) END,
        sent_at = CASE WHEN $4 = 'sent' THEN clock_timestamp() END
    WHERE notice_id = $1 AND channel = $2 AND state = 'pending' AND (attempts = $3 OR $4 = 'sent')
"""


class DueLetter(NamedTuple):
    """A notice to be sent through one channel, claimed."""

    notice_id: int
    channel: str
    attempt: int
    """1 for the first."""
    notice: Notice
    created_at: datetime


class LetterStore:
    """Deliveries of one service; `pool` is that of the upkeep."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def route(self, routes: Mapping[str, Sequence[str]], limit: int) -> int:
        """Writes the letters of notices that have none yet; returns how many notices."""
        pairs = [(name, channel) for name, channels in routes.items() for channel in channels]
        async with self._connection() as connection:
            found = await connection.fetch(
                _ROUTE,
                list(routes),
                [name for name, _ in pairs],
                [channel for _, channel in pairs],
                EVERY_OTHER,
                limit,
            )
        return len(found)

    async def claim(self, channel: str, *, seconds: float, limit: int) -> list[DueLetter]:
        """Takes what is due on the channel; nobody else takes it for `seconds`."""
        async with self._connection() as connection:
            found = await connection.fetch(_CLAIM, channel, seconds, limit)
        return [_letter(row) for row in found]

    async def settle(
        self,
        letter: DueLetter,
        state: LetterState,
        *,
        error: str | None = None,
        retry_seconds: float = 0.0,
    ) -> None:
        """Writes what became of the attempt; `pending` is due again after `retry_seconds`."""
        async with self._connection() as connection:
            await connection.execute(
                _SETTLE,
                letter.notice_id,
                letter.channel,
                letter.attempt,
                state,
                error,
                retry_seconds,
            )

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("notices"),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
        ):
            yield connection


def _letter(row: Any) -> DueLetter:
    notice = Notice(
        name=row["name"],
        recipient=row["recipient"],
        key=row["key"],
        data=msgspec.json.decode(row["data"]),
    )
    return DueLetter(row["id"], row["channel"], row["attempts"], notice, row["created_at"])
