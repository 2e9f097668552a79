"""The dead letters of one service, in the transaction of a request (engine rule 27)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shared.messages.dead_letters import DeadLettersQuery, DeadLetterSummary
from shared.workflow.ports import Connection
from shared.workflow.records import DeadLetter, InstanceKey

PAGE = """
    SELECT id, subject, reason, detail, occurred_at, settlement, settled_at, settled_by
    FROM dead_letters
    WHERE ($1::bigint IS NULL OR id < $1) AND ($2 OR settled_at IS NULL)
        AND ($3::text IS NULL OR reason = $3) AND ($4::text IS NULL OR subject = $4)
        AND ($5::timestamptz IS NULL OR occurred_at >= $5)
    ORDER BY id DESC LIMIT $6
"""

FIND = """
    SELECT id, subject, reason, detail, occurred_at, settlement, settled_at, settled_by,
           origin, headers, body
    FROM dead_letters WHERE id = $1
"""

FIND_AND_HOLD = f"{FIND} FOR UPDATE"

SETTLE = """
    UPDATE dead_letters SET settlement = $2, settled_at = $3, settled_by = $4 WHERE id = $1
"""

IS_RETIRED = "SELECT retired_at IS NOT NULL FROM workflow_instances WHERE kind = $1 AND id = $2"


class KeptLetter(msgspec.Struct, frozen=True):
    """A dead letter, and what was done about it."""

    summary: DeadLetterSummary
    letter: DeadLetter


class DeadLetterStore:
    """One method a statement."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def page(self, query: DeadLettersQuery, limit: int) -> list[DeadLetterSummary]:
        """Newest first."""
        found = await self._connection.fetch(
            PAGE,
            query.cursor,
            query.include_settled,
            query.reason,
            query.subject,
            query.since,
            limit,
        )
        return [_summary(row) for row in found]

    async def find(self, letter_id: int) -> KeptLetter | None:
        """The letter of an id."""
        return _kept(await self._connection.fetchrow(FIND, letter_id))

    async def hold(self, letter_id: int) -> KeptLetter | None:
        """The same, kept from being settled by another until the transaction ends."""
        return _kept(await self._connection.fetchrow(FIND_AND_HOLD, letter_id))

    async def settle(self, letter_id: int, settlement: str, now: datetime, actor: str) -> None:
        """Marks it as replayed or discarded."""
        await self._connection.execute(SETTLE, letter_id, settlement, now, actor)

    async def is_retired(self, key: InstanceKey) -> bool | None:
        """Whether an instance's journal is gone; None where there is no such instance."""
        retired: bool | None = await self._connection.fetchval(IS_RETIRED, key.kind, key.id)
        return retired


def _kept(row: Any) -> KeptLetter | None:
    if row is None:
        return None
    return KeptLetter(
        _summary(row),
        DeadLetter(
            origin=row["origin"],
            subject=row["subject"],
            headers=msgspec.json.decode(row["headers"], type=dict[str, str]),
            body=row["body"],
            reason=row["reason"],
            detail=row["detail"],
            at=row["occurred_at"],
        ),
    )


def _summary(row: Any) -> DeadLetterSummary:
    return DeadLetterSummary(
        id=row["id"],
        subject=row["subject"],
        reason=row["reason"],
        detail=row["detail"],
        occurred_at=row["occurred_at"],
        settlement=row["settlement"],
        settled_at=row["settled_at"],
        settled_by=row["settled_by"],
    )
