"""Tells the operators: by a row as every notice, or at once where no row can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from services.maintenance.health.bounded import bounded
from services.maintenance.health.lead import Lead
from services.maintenance.rules.health import Told
from services.maintenance.store.health import HealthStore
from shared.messages.maintenance import ComponentHealth
from shared.messages.notices import OPERATORS, LetterState, Notice
from shared.notify.channel import Channel, NotSent, Undeliverable
from shared.notify.notifier import Notifier
from shared.postgres.letters import EVERY_OTHER
from shared.postgres.notices import NoticeStore
from shared.postgres.trouble import transient_trouble
from shared.workflow.errors import Transient

log = structlog.get_logger()

DATABASE_SECONDS = 2.0
PENDING: tuple[LetterState, None] = ("pending", None)


@dataclass
class Telling:
    """What is told of a component, and how far that has got."""

    component: str
    told: Told
    notice: Notice
    created_at: datetime
    """Business time, as every notice's."""
    letters: dict[str, tuple[LetterState, str | None]] = field(
        default_factory=dict[str, "tuple[LetterState, str | None]"]
    )
    """Of those that went out without a row: what became of each, and why."""


def telling(found: ComponentHealth, told: Told, created_at: datetime) -> Telling:
    """The notice of an alert or a recovery. Its key follows from the incident's number, so that
    two replicas that tell the same say it with one id."""
    return Telling(
        found.component,
        told,
        Notice(
            name="component_recovered" if told.recovered else "component_failed",
            recipient=OPERATORS,
            key=f"{found.component}/{told.incident}",
            data={
                "component": found.component,
                "status": found.status,
                "detail": found.detail,
                "checkedAt": found.checked_at,
            },
        ),
        created_at,
    )


class Teller:
    """What one replica knows of what was told, and its ways to tell more."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], notifier: Notifier):
        self._pool = pool
        self._notifier = notifier
        self._lead = Lead(pool)
        self._unwritten: list[Telling] = []
        self._told: Mapping[str, Told] = {}
        self._reachable = False

    async def prepare(self) -> bool:
        """Reads what was told, after its own tellings have become rows; whether this replica is
        the one to tell more. While PostgreSQL is away, as it was before."""
        try:
            await self._bounded(self._read())
        except Transient as error:
            if self._reachable:
                log.warning("health_told_unread", reason=str(error))
            self._reachable = False
        return self._lead.leading

    def told(self, component: str) -> Told:
        """What was last told of it."""
        return self._told.get(component, Told())

    async def tell(self, tellings: Sequence[Telling]) -> None:
        """Tells each once, and sends again what did not get through while no row can be written."""
        for each in tellings:
            level = "info" if each.told.recovered else "error"
            getattr(log, level)(each.notice.name, **each.notice.data)
            self._told = {**self._told, each.component: each.told}
            self._unwritten.append(each)
        if self._reachable and self._unwritten:
            try:
                await self._bounded(self._write())
            except Transient as error:
                log.warning("health_told_unwritten", reason=str(error))
                self._reachable = False
        if not self._reachable:
            await asyncio.gather(*(self._send(each) for each in self._unwritten))

    async def _read(self) -> None:
        await self._lead.refresh()
        await self._write()
        async with transient_trouble("health"), self._pool.acquire() as connection:
            self._told = await HealthStore(connection).told()
        self._reachable = True

    async def _write(self) -> None:
        while self._unwritten:
            first = self._unwritten[0]
            async with (
                transient_trouble("health"),
                self._pool.acquire() as connection,
                connection.transaction(),
            ):
                news = await HealthStore(connection).tell(first.component, first.told)
                notices = NoticeStore(connection)
                if first.letters:
                    await notices.post_told(first.notice, first.created_at, first.letters)
                elif news:
                    await notices.post(first.notice, first.created_at)
            # Not popped before it is there; a write that was given up may have removed it since.
            if first in self._unwritten:
                self._unwritten.remove(first)

    async def _bounded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await bounded(work, DATABASE_SECONDS)
        except TimeoutError as error:
            raise Transient(f"PostgreSQL, health: {error}") from error

    async def _send(self, each: Telling) -> None:
        routes = self._notifier.routes
        wanted = routes.get(each.notice.name, routes.get(EVERY_OTHER, ()))
        await asyncio.gather(
            *(
                self._send_through(channel, each)
                for channel in self._notifier.channels
                if channel.name in wanted and each.letters.get(channel.name, PENDING) == PENDING
            )
        )

    async def _send_through(self, channel: Channel, each: Telling) -> None:
        try:
            await self._notifier.send(channel, each.notice, each.created_at)
        except Undeliverable as error:
            each.letters[channel.name] = ("failed", str(error))
        except NotSent as error:
            # Tried again after the next look, or by the courier once there is a row.
            each.letters[channel.name] = PENDING
            log.warning("alert_not_sent", channel=channel.name, reason=str(error))
        else:
            each.letters[channel.name] = ("sent", None)
