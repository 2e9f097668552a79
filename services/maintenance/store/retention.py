"""The policies of retention."""

from __future__ import annotations

from datetime import datetime

from shared.messages.maintenance.retention import RetentionPolicy, SetRetention
from shared.workflow.ports import Connection

_COLUMNS = """owner, name, keep_seconds, enabled, gated, updated_at, updated_by, applied_at,
    overdue_since"""

_ALL = f"SELECT {_COLUMNS} FROM retention_policies ORDER BY position"  # noqa: S608

_SET = f"""
    UPDATE retention_policies SET keep_seconds = coalesce($3, keep_seconds),
        enabled = coalesce($4, enabled), updated_at = $5, updated_by = $6,
        overdue_since = CASE WHEN coalesce($4, enabled) THEN
            overdue_since + (coalesce($3, keep_seconds) - keep_seconds) * interval '1 second' END
    WHERE owner = $1 AND name = $2 RETURNING {_COLUMNS}
"""  # noqa: S608

_APPLIED = """
    UPDATE retention_policies SET applied_at = $3, overdue_since = $4
    WHERE owner = $1 AND name = $2
"""

# What was not looked at may be overdue since it was last known not to be.
_LEFT = """
    UPDATE retention_policies SET overdue_since = coalesce(overdue_since, applied_at, $3)
    WHERE owner = $1 AND name = $2
"""


class RetentionStore:
    """On the connection of a step or a request."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def policies(self) -> tuple[RetentionPolicy, ...]:
        """All, in the order in which they are applied."""
        rows = await self._connection.fetch(_ALL)
        return tuple(RetentionPolicy(**dict(row)) for row in rows)

    async def set(self, change: SetRetention, now: datetime, actor: str) -> RetentionPolicy | None:
        """The policy with what is given changed; None where there is none."""
        row = await self._connection.fetchrow(
            _SET, change.owner, change.name, change.keep_seconds, change.enabled, now, actor
        )
        return None if row is None else RetentionPolicy(**dict(row))

    async def applied(
        self, owner: str, name: str, at: datetime, overdue_since: datetime | None
    ) -> None:
        """Keeps what came of applying it."""
        await self._connection.execute(_APPLIED, owner, name, at, overdue_since)

    async def left(self, owner: str, name: str, at: datetime) -> None:
        """Keeps that it was not applied: it counts as overdue from when nothing last was."""
        await self._connection.execute(_LEFT, owner, name, at)
