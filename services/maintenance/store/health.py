"""What was told of the components' health."""

from __future__ import annotations

from services.maintenance.rules.health import Told
from shared.workflow.ports import Connection

_ALL = "SELECT component, incident, recovered, told_at FROM health_told"

# Only forwards: a replica that was cut off has nothing new to say.
_TELL = """
    INSERT INTO health_told AS t (component, incident, recovered, told_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (component) DO UPDATE SET
        incident = EXCLUDED.incident, recovered = EXCLUDED.recovered, told_at = EXCLUDED.told_at
    WHERE (t.incident, t.recovered) < (EXCLUDED.incident, EXCLUDED.recovered)
    RETURNING true
"""


class HealthStore:
    """On the connection of whoever tells."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def told(self) -> dict[str, Told]:
        """By component; of those that never failed there is none."""
        return {
            row["component"]: Told(row["incident"], row["recovered"], row["told_at"])
            for row in await self._connection.fetch(_ALL)
        }

    async def tell(self, component: str, told: Told) -> bool:
        """Whether it is news: False when somebody told it already."""
        news = await self._connection.fetchval(
            _TELL, component, told.incident, told.recovered, told.at
        )
        return news is True
