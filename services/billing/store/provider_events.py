"""What payment providers told, each event once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.billing.models import ProviderEvent
from shared.workflow.ports import Connection


class AttemptPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an attempt belongs."""

    key: str
    subscription_id: UUID
    period_start: datetime


class ProviderEventStore:
    """Keeps the events of one provider: what the service understood of them, and no more, since a
    provider's own words may hold personal data."""

    def __init__(self, connection: Connection, provider: str):
        self._connection = connection
        self._provider = provider

    async def keep(self, event: ProviderEvent, at: datetime) -> bool:
        """Writes the event, not applied yet; False for one that is known. Of two that come at once
        the second waits for the first."""
        kept = await self._connection.fetchval(
            """
            INSERT INTO provider_events
                (provider, event_id, kind, payment_key, body, outcome, received_at)
            VALUES ($1, $2, $3, $4, $5::jsonb, 'parked', $6)
            ON CONFLICT (provider, event_id) DO NOTHING
            RETURNING true
            """,
            self._provider,
            event.id,
            event.kind,
            None if event.payment is None else event.payment.key,
            msgspec.json.encode(event).decode(),
            at,
        )
        return kept is not None

    async def outcome(self, event_id: str) -> str:
        """What became of a known event."""
        outcome: str = await self._connection.fetchval(
            "SELECT outcome FROM provider_events WHERE provider = $1 AND event_id = $2",
            self._provider,
            event_id,
        )
        return outcome

    async def settle(self, event_id: str, outcome: str, at: datetime) -> None:
        """Writes down what became of it; it is not parked any longer."""
        await self._connection.execute(
            """
            UPDATE provider_events SET outcome = $3, applied_at = $4
            WHERE provider = $1 AND event_id = $2
            """,
            self._provider,
            event_id,
            outcome,
            at,
        )

    async def place(self, key: str) -> AttemptPlace | None:
        """Where the attempt under a key belongs; None while there is none."""
        row = await self._connection.fetchrow(
            """
            SELECT a.provider_key AS key, i.subscription_id, i.period_start
            FROM payment_attempts AS a JOIN invoices AS i ON i.id = a.invoice_id
            WHERE a.provider = $1 AND a.provider_key = $2
            """,
            self._provider,
            key,
        )
        return None if row is None else AttemptPlace(**row)

    async def place_by_reference(self, reference: str) -> AttemptPlace | None:
        """Where the attempt that the provider has under this id belongs; None where it is none of
        ours."""
        row = await self._connection.fetchrow(
            """
            SELECT a.provider_key AS key, i.subscription_id, i.period_start
            FROM payment_attempts AS a JOIN invoices AS i ON i.id = a.invoice_id
            WHERE a.provider = $1 AND a.provider_reference = $2
            """,
            self._provider,
            reference,
        )
        return None if row is None else AttemptPlace(**row)

    async def parked(self, key: str) -> list[ProviderEvent]:
        """Events that wait for the attempt under this key, in the order they happened."""
        found = await self._connection.fetch(
            """
            SELECT body::text AS body FROM provider_events
            WHERE provider = $1 AND payment_key = $2 AND applied_at IS NULL
            ORDER BY body ->> 'occurred_at', event_id
            FOR UPDATE
            """,
            self._provider,
            key,
        )
        return sorted(
            (msgspec.json.decode(row["body"], type=ProviderEvent) for row in found),
            key=lambda event: event.occurred_at,
        )
