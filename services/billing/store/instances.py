"""What billing reads of the engine's instances."""

from __future__ import annotations

from collections.abc import Sequence

from shared.workflow.ports import Connection


class InstanceStore:
    """Instances of this service; one whose start is still on its way is not there."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def going_on(self, kind: str, ids: Sequence[str]) -> dict[str, bool]:
        """Those of the ids that have begun, and whether they have not ended yet."""
        rows = await self._connection.fetch(
            """
            SELECT id, status NOT IN ('complete', 'errored', 'terminated') AS going_on
            FROM workflow_instances WHERE kind = $1 AND id = ANY ($2::text[])
            """,
            kind,
            list(ids),
        )
        return {row["id"]: row["going_on"] for row in rows}
