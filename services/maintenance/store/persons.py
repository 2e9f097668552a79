"""Who was exported and who was erased: ids and instants."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from shared.messages.persons import Erasure, ErasuresQuery
from shared.messages.workflows import OfPerson
from shared.workflow.ports import Connection


class PersonStore:
    """Remembers erasures and exports."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def add_export(self, workflow_id: str, person: OfPerson, at: datetime) -> None:
        """Notes that an export is made, before its document is put anywhere."""
        await self._connection.execute(
            """
            INSERT INTO person_exports (workflow_id, player_id, customer_id, exported_at)
            VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
            """,
            workflow_id,
            person.player_id,
            person.customer_id,
            at,
        )

    async def exports_of(self, person: OfPerson) -> list[str]:
        """The exports that hold something of the person."""
        rows = await self._connection.fetch(
            """
            SELECT workflow_id FROM person_exports WHERE player_id = $1 OR customer_id = $2
            """,
            person.player_id,
            person.customer_id,
        )
        return [row["workflow_id"] for row in rows]

    async def forget_exports(self, workflow_ids: list[str], before: datetime) -> None:
        """Forgets these, and those from before the instant, whose documents have expired."""
        await self._connection.execute(
            "DELETE FROM person_exports WHERE workflow_id = ANY ($1::text[]) OR exported_at < $2",
            workflow_ids,
            before,
        )

    async def add_erasure(self, workflow_id: str, person: OfPerson, at: datetime) -> None:
        """Notes that the person is erased; again changes nothing."""
        await self._connection.execute(
            """
            INSERT INTO person_erasures (workflow_id, player_id, customer_id, erased_at)
            VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
            """,
            workflow_id,
            person.player_id,
            person.customer_id,
            at,
        )

    async def is_erased(self, person: OfPerson) -> bool:
        """Whether an erasure of the player or of the customer is noted."""
        found: bool = await self._connection.fetchval(
            """
            SELECT EXISTS (SELECT FROM person_erasures WHERE player_id = $1 OR customer_id = $2)
            """,
            person.player_id,
            person.customer_id,
        )
        return found

    async def is_erased_id(self, person_id: UUID) -> bool:
        """Whether a player or customer of this id is erased."""
        found: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT FROM person_erasures WHERE player_id = $1 OR customer_id = $1)",
            person_id,
        )
        return found

    async def erasures(self, query: ErasuresQuery, limit: int) -> list[Erasure]:
        """Those since an instant, the oldest first, behind the one that the cursor names."""
        rows = await self._connection.fetch(
            """
            SELECT workflow_id, player_id, customer_id, erased_at FROM person_erasures
            WHERE ($1::timestamptz IS NULL OR erased_at >= $1)
              AND ($2::text IS NULL OR (erased_at, workflow_id) > (
                  SELECT erased_at, workflow_id FROM person_erasures WHERE workflow_id = $2))
            ORDER BY erased_at, workflow_id LIMIT $3
            """,
            query.since,
            query.cursor,
            limit,
        )
        return [Erasure(**row) for row in rows]
