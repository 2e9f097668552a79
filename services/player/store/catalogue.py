"""The achievements that there are."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from services.player.store import rows
from shared.messages.player import Achievement, CreateAchievement, UpdateAchievement
from shared.workflow.ports import Connection


class CatalogueStore:
    """Lists, adds and changes achievements."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def achievements(self, include_hidden: bool) -> list[Achievement]:
        """The active achievements; with the hidden ones, also those that are retired."""
        found = await self._connection.fetch(
            """
            SELECT id, name, type, threshold, reward::text AS reward, hidden, active
            FROM achievements WHERE $1 OR (active AND NOT hidden)
            ORDER BY type, threshold, id
            """,
            include_hidden,
        )
        return [rows.achievement(row) for row in found]

    async def create(self, request: CreateAchievement) -> Achievement | None:
        """A new achievement; None when the id is taken."""
        row = await self._connection.fetchrow(
            """
            INSERT INTO achievements (id, name, type, threshold, reward, hidden)
            VALUES ($1, $2, $3, $4, $5::jsonb, $6)
            ON CONFLICT (id) DO NOTHING
            RETURNING id, name, type, threshold, reward::text AS reward, hidden, active
            """,
            request.id,
            request.name,
            request.type,
            request.threshold,
            msgspec.json.encode(request.reward).decode(),
            request.hidden,
        )
        return None if row is None else rows.achievement(row)

    async def update(self, request: UpdateAchievement) -> Achievement | None:
        """Changes what is given; None when there is no such achievement."""
        row = await self._connection.fetchrow(
            """
            UPDATE achievements SET
                name = coalesce($2, name),
                hidden = coalesce($3, hidden),
                active = coalesce($4, active)
            WHERE id = $1
            RETURNING id, name, type, threshold, reward::text AS reward, hidden, active
            """,
            request.id,
            None if request.name is UNSET else request.name,
            None if request.hidden is UNSET else request.hidden,
            None if request.active is UNSET else request.active,
        )
        return None if row is None else rows.achievement(row)
