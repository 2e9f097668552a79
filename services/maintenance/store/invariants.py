"""What was found last, and whose turn it is to look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from shared.messages.invariants import Violation
from shared.messages.maintenance import BrokenInvariant, ServiceInvariants, StatusesCompared
from shared.messages.statuses import StatusCursor, StatusesMended
from shared.workflow.ports import Connection

TAKE_DUE = """
    UPDATE invariant_results SET next_check_at = clock_timestamp() + make_interval(secs => $2)
    WHERE service = ANY($1) AND next_check_at <= clock_timestamp()
    RETURNING service, clock_timestamp() AS asked_at, status_cursor
"""

KEEP = """
    UPDATE invariant_results SET
        asked_at = $2, counts = $3, status_cursor = $4,
        statuses_checked = statuses_checked + $5, statuses_differed = statuses_differed + $6,
        statuses_mended = statuses_mended + $7
    WHERE service = $1 AND (asked_at IS NULL OR asked_at < $2)
    RETURNING 1
"""

RESULTS = """
    SELECT service, asked_at AS checked_at, next_check_at, counts,
           statuses_checked, statuses_differed, statuses_mended,
           (SELECT coalesce(json_agg(json_build_object(
                'invariant', invariant, 'subject', subject, 'detail', detail, 'since', since)
                ORDER BY invariant, subject), '[]')
            FROM broken_invariants AS b WHERE b.service = r.service) AS broken
    FROM invariant_results AS r ORDER BY service
"""


class Turn(NamedTuple):
    """A service that is to be asked."""

    service: str
    asked_at: datetime
    cursor: StatusCursor | None


class ResultStore:
    """Its methods see and change what the connection's transaction does."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def introduce(self, services: Iterable[str]) -> None:
        """Has services that nobody has asked yet asked next."""
        await self._connection.execute(
            """
            INSERT INTO invariant_results (service, next_check_at)
            SELECT unnest($1::text[]), clock_timestamp() ON CONFLICT (service) DO NOTHING
            """,
            sorted(services),
        )

    async def hurry(self) -> None:
        """Has every service asked next, not in its turn."""
        await self._connection.execute(
            "UPDATE invariant_results SET next_check_at = clock_timestamp()"
        )

    async def take_due(self, services: Sequence[str], seconds: float) -> list[Turn]:
        """Those whose turn it is, and their next one `seconds` later: nobody else gets this one."""
        rows = await self._connection.fetch(TAKE_DUE, services, seconds)
        return [
            Turn(
                row["service"],
                row["asked_at"],
                None
                if row["status_cursor"] is None
                else msgspec.json.decode(row["status_cursor"], type=StatusCursor),
            )
            for row in rows
        ]

    async def keep(self, turn: Turn, counts: dict[str, int], statuses: StatusesMended) -> bool:
        """Keeps a result, and the service to this transaction; False where a later one is kept."""
        kept = await self._connection.fetchval(
            KEEP,
            turn.service,
            turn.asked_at,
            msgspec.json.encode(counts).decode(),
            None if statuses.cursor is None else msgspec.json.encode(statuses.cursor).decode(),
            statuses.checked,
            statuses.differed,
            statuses.mended,
        )
        return kept is not None

    async def broken(self, service: str) -> dict[tuple[str, str], BrokenInvariant]:
        """What is known to break the service's invariants, by invariant and subject."""
        rows = await self._connection.fetch(
            """
            SELECT invariant, subject, detail, since FROM broken_invariants WHERE service = $1
            """,
            service,
        )
        return {(row["invariant"], row["subject"]): BrokenInvariant(**row) for row in rows}

    async def add(self, service: str, violation: Violation, since: datetime) -> None:
        """Something that breaks an invariant."""
        await self._connection.execute(
            """
            INSERT INTO broken_invariants (service, invariant, subject, detail, since)
            VALUES ($1, $2, $3, $4, $5)
            """,
            service,
            violation.invariant,
            violation.subject,
            violation.detail,
            since,
        )

    async def take_away(self, service: str, invariant: str, subject: str) -> None:
        """It does not break it any more."""
        await self._connection.execute(
            """
            DELETE FROM broken_invariants
            WHERE service = $1 AND invariant = $2 AND subject = $3
            """,
            service,
            invariant,
            subject,
        )

    async def count(self) -> dict[str, int]:
        """How much is known to be broken, by service."""
        rows = await self._connection.fetch(
            """
            SELECT r.service, count(b.service) AS broken
            FROM invariant_results AS r LEFT JOIN broken_invariants AS b USING (service)
            GROUP BY r.service
            """
        )
        return {row["service"]: row["broken"] for row in rows}

    async def results(self) -> list[ServiceInvariants]:
        """Every service, by its name."""
        return [
            ServiceInvariants(
                service=row["service"],
                checked_at=row["checked_at"],
                next_check_at=row["next_check_at"],
                broken=msgspec.json.decode(row["broken"], type=tuple[BrokenInvariant, ...]),
                counts=msgspec.json.decode(row["counts"], type=dict[str, int]),
                statuses=StatusesCompared(
                    checked=row["statuses_checked"],
                    differed=row["statuses_differed"],
                    mended=row["statuses_mended"],
                ),
            )
            for row in await self._connection.fetch(RESULTS)
        ]
