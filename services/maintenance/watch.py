"""Looks at every service's invariants and statuses, and tells operators what has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from time import monotonic

import asyncpg
import structlog

from services.maintenance.owners import Owners
from services.maintenance.rules.invariants import news, notice, of_statuses, silent
from services.maintenance.store.invariants import ResultStore, Turn
from shared.jetstream.requests import Unavailable
from shared.messages.invariants import AllInvariants, Violation, Violations
from shared.messages.problems import Refused
from shared.messages.statuses import MendStatuses, StatusDifference, StatusesMended
from shared.postgres.notices import NoticeStore
from shared.postgres.trouble import transient_trouble
from shared.runtime import metrics
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock, Connection

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How soon a replica sees that a service's turn has come."""
ASK_SECONDS = 30.0
"""For the statements of the invariants, which read whole tables, and for one page of statuses."""
MENDING_SECONDS = 20.0
"""For the statuses of one service, each time; the next time goes on where this one stopped."""
AGAIN_SECONDS = 1.0


class InvariantWatch:
    """See OwnPart. A turn is a row that one replica takes, so several of them look once.

    Its timer is machine time: what is broken is as broken while business time stands still.
    """

    name = "invariant-watch"

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Clock,
        owners: Owners,
        services: Collection[str],
        *,
        interval_seconds: float,
        patience_seconds: float = 30.0,
    ):
        """A service is silent that has not answered for `patience_seconds`, as one that starts."""
        self._pool = pool
        self._clock = clock
        self._owners = owners
        self._services = sorted(services)
        self._interval_seconds = interval_seconds
        self._patience_seconds = patience_seconds

    async def run(self) -> None:
        """See OwnPart."""
        while True:
            try:
                await self.look()
            except Transient as error:
                log.warning("invariants_not_looked_at", reason=str(error))
            await asyncio.sleep(min(LOOK_SECONDS, self._interval_seconds))

    async def tick(self) -> None:
        """See OwnPart: nothing is due in business time."""

    async def earliest_at(self) -> datetime | None:
        """See OwnPart."""
        return None

    async def look(self) -> int:
        """Asks the services whose turn it is; returns how many. Raises Transient."""
        async with self._transaction() as connection:
            store = ResultStore(connection)
            await store.introduce(self._services)
            turns = await store.take_due(self._services, self._interval_seconds)
        await asyncio.gather(*(self._check(turn) for turn in turns))
        async with self._transaction() as connection:
            for service, count in (await ResultStore(connection).count()).items():
                metrics.INVARIANTS_BROKEN.labels(service).set(count)
        return len(turns)

    async def _check(self, turn: Turn) -> None:
        end = monotonic() + self._patience_seconds
        while True:
            try:
                found = await self._owners.query(
                    turn.service,
                    "invariants",
                    AllInvariants(),
                    Violations,
                    timeout_seconds=ASK_SECONDS,
                )
                statuses = await self._mend(turn)
            except (Unavailable, Refused) as error:
                if monotonic() < end:
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                await self._keep_silence(turn, str(error))
            else:
                await self._keep(turn, found, statuses)
            return

    async def _mend(self, turn: Turn) -> StatusesMended:
        """Pages of statuses, until the walk or the time is at its end."""
        end = monotonic() + MENDING_SECONDS
        checked = differed = mended = 0
        differences: list[StatusDifference] = []
        cursor = turn.cursor
        while True:
            page = await self._owners.command(
                turn.service,
                "mend_statuses",
                MendStatuses(cursor=cursor),
                StatusesMended,
                timeout_seconds=ASK_SECONDS,
            )
            checked += page.checked
            differed += page.differed
            mended += page.mended
            differences += page.differences
            cursor = page.cursor
            if cursor is None or monotonic() >= end:
                return StatusesMended(
                    checked=checked,
                    differed=differed,
                    mended=mended,
                    differences=tuple(differences),
                    cursor=cursor,
                )

    async def _keep_silence(self, turn: Turn, reason: str) -> None:
        """Nothing is known of the service but that: what was broken is taken to be so."""
        violation = silent(turn.service, reason)
        async with self._transaction() as connection:
            store = ResultStore(connection)
            nothing = StatusesMended(checked=0, differed=0, mended=0, cursor=turn.cursor)
            if not await store.keep(turn, {}, nothing):
                return
            if (violation.invariant, violation.subject) not in await store.broken(turn.service):
                await self._break(connection, turn, violation)

    async def _keep(self, turn: Turn, found: Violations, statuses: StatusesMended) -> None:
        all_found = Violations(
            violations=(*found.violations, *of_statuses(statuses.differences)), counts=found.counts
        )
        async with self._transaction() as connection:
            store = ResultStore(connection)
            if not await store.keep(turn, found.counts, statuses):
                return
            known = await store.broken(turn.service)
            changed = news(known, all_found)
            for violation in changed.broken:
                await self._break(connection, turn, violation)
            for key in changed.restored:
                was = known[key]
                violation = Violation(
                    invariant=was.invariant, subject=was.subject, detail=was.detail
                )
                await store.take_away(turn.service, *key)
                await NoticeStore(connection).post(
                    notice("invariant_restored", turn.service, violation, was.since),
                    self._clock.now(),
                )
                log.info("invariant_restored", of=turn.service, invariant=key[0], subject=key[1])

    async def _break(self, connection: Connection, turn: Turn, violation: Violation) -> None:
        await ResultStore(connection).add(turn.service, violation, turn.asked_at)
        await NoticeStore(connection).post(
            notice("invariant_broken", turn.service, violation, turn.asked_at), self._clock.now()
        )
        log.error(
            "invariant_broken",
            of=turn.service,
            invariant=violation.invariant,
            subject=violation.subject,
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Connection]:
        async with (
            transient_trouble("invariants"),
            self._pool.acquire() as connection,
            connection.transaction(),
        ):
            yield connection
