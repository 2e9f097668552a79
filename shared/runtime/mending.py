"""Has the status bucket say what the journals say, a page at a time, beside services at work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic

import msgspec
import structlog
from msgspec.structs import replace

from shared.jetstream.status import NOT_PUT, Found, JetStreamStatusBucket
from shared.messages.base import encode
from shared.messages.statuses import (
    MendStatuses,
    Reason,
    StatusCursor,
    StatusDifference,
    StatusesMended,
)
from shared.messages.workflows import Status, StatusDocument
from shared.postgres.recovery import RecoveryStore
from shared.runtime import metrics
from shared.runtime.handling import AnyErrand, Errand
from shared.runtime.surroundings import Surroundings
from shared.workflow.projection import project
from shared.workflow.records import InstanceKey

log = structlog.get_logger()

PAGE = 100
NAMED = 100
"""Differences that an answer names."""
SETTLING_SECONDS = 0.5
"""A worker puts the status this soon after its commit: what differs for longer has nobody."""


def mend_statuses(kinds: Iterable[str]) -> AnyErrand:
    """`commands.<service>.mend_statuses`."""
    known = frozenset(kinds)

    async def mend(surroundings: Surroundings, request: MendStatuses) -> StatusesMended:
        mender = Mender(
            RecoveryStore(surroundings.pool), JetStreamStatusBucket(surroundings.client), known
        )
        return await mender.mend(request)

    return Errand("mend_statuses", MendStatuses, mend)


class Difference(msgspec.Struct, frozen=True):
    """A key that differs, and what its journal would have there; None for nothing."""

    found: Found
    reason: Reason
    expected: StatusDocument | None


class Mender:
    """Compares and mends.

    A key is read before its journal, and changed only at the revision that was read. So a journal
    that is behind its key tells of no commit to come, but of a key that is wrong; and whoever puts
    a status meanwhile wins.
    """

    def __init__(
        self,
        store: RecoveryStore,
        statuses: JetStreamStatusBucket,
        kinds: Iterable[str],
        *,
        page: int = PAGE,
        settling_seconds: float = SETTLING_SECONDS,
        machine_seconds: Callable[[], float] = monotonic,
    ):
        self._store = store
        self._statuses = statuses
        self._kinds = sorted(kinds)
        self._page = page
        self._settling_seconds = settling_seconds
        self._machine_seconds = machine_seconds

    async def mend(self, request: MendStatuses) -> StatusesMended:
        """Goes on at the request's cursor until its limit, its budget or the end.

        Raises Transient.
        """
        end = self._machine_seconds() + request.budget_seconds
        cursor = request.cursor or StatusCursor()
        checked = 0
        differences: list[StatusDifference] = []
        going_on: StatusCursor | None = cursor
        while going_on is not None:
            going_on, looked_at, found = await self._mend_page(
                going_on, min(self._page, request.limit - checked)
            )
            checked += looked_at
            differences += found
            if checked >= request.limit or self._machine_seconds() >= end:
                break
        return StatusesMended(
            checked=checked,
            differed=len(differences),
            mended=sum(each.mended for each in differences),
            differences=tuple(differences[:NAMED]),
            cursor=going_on,
        )

    async def _mend_page(
        self, cursor: StatusCursor, limit: int
    ) -> tuple[StatusCursor | None, int, list[StatusDifference]]:
        """Where to go on, how many keys were looked at, and what differed."""
        if cursor.sequence is None:
            keys = await self._store.keys_after(InstanceKey(cursor.kind, cursor.id), limit)
            differing = await self._compared([key for key in keys if key.kind in self._kinds])
            if len(keys) == limit:
                going_on = StatusCursor(kind=keys[-1].kind, id=keys[-1].id)
            else:
                going_on = StatusCursor(kind=next(iter(self._kinds), ""), sequence=1)
            return going_on, len(keys), await self._mend_all(differing)
        last = cursor.last
        if last is None:
            last = await self._statuses.last_revision()
        return await self._mend_orphans(cursor.kind, cursor.sequence, last, limit)

    async def _compared(self, keys: Sequence[InstanceKey]) -> list[Difference]:
        """Those that differ from their journals; retired instances are retention's."""
        found = await asyncio.gather(*(self._statuses.look(key) for key in keys))
        loaded = {one[0].key: one for one in await self._store.load(keys)}
        differing: list[Difference] = []
        for each in found:
            if each.key not in loaded or loaded[each.key][0].retired:
                continue
            expected = project(*loaded[each.key])
            reason = difference(each, expected)
            if reason is not None:
                differing.append(Difference(each, reason, expected))
        return differing

    async def _mend_orphans(
        self, kind: str, first: int, last: int, limit: int
    ) -> tuple[StatusCursor | None, int, list[StatusDifference]]:
        """Takes away keys that a service has put, of instances that it does not know."""
        looked_at: list[Found] = []
        async for found in self._statuses.walk(kind, first, last):
            looked_at.append(found)
            if len(looked_at) == limit:
                break
        if len(looked_at) == limit:
            going_on: StatusCursor | None = StatusCursor(
                kind=kind, sequence=looked_at[-1].revision + 1, last=last
            )
        else:
            later = [each for each in self._kinds if each > kind]
            going_on = StatusCursor(kind=later[0], sequence=1) if later else None
        # A start that still waits for its service has the gateway's own document.
        put = [
            each
            for each in looked_at
            if not each.deleted and (each.document is None or each.document.order > NOT_PUT)
        ]
        unknown = await self._store.unknown([each.key for each in put])
        orphans = [Difference(each, "orphan", None) for each in put if each.key in unknown]
        return going_on, len(looked_at), await self._mend_all(orphans)

    async def _mend_all(self, differing: Sequence[Difference]) -> list[StatusDifference]:
        """Mends what still differs at a second look, when workers have put what they committed."""
        if not differing:
            return []
        await asyncio.sleep(self._settling_seconds)
        again = {
            each.found.key: each
            for each in await self._compared(
                [each.found.key for each in differing if each.expected is not None]
            )
        }
        unknown = await self._store.unknown(
            [each.found.key for each in differing if each.expected is None]
        )
        mended: list[StatusDifference] = []
        for first in differing:
            key = first.found.key
            if first.expected is None:
                if key in unknown:
                    mended.append(await self._told(first, self._remove(first)))
            elif key in again and again[key].found.revision == first.found.revision:
                mended.append(await self._told(again[key], self._put(again[key])))
        return mended

    async def _remove(self, orphan: Difference) -> bool:
        return await self._statuses.remove(orphan.found.key, orphan.found.revision)

    async def _put(self, differing: Difference) -> bool:
        key, expected = differing.found.key, differing.expected
        if not await self._statuses.replace(key, encode(expected), differing.found.revision):
            return False
        # A worker that found a wrong, greater order has put nothing; retention, nothing to delete.
        for instance, entries in await self._store.load([key]):
            if instance.retired:
                await self._statuses.delete(key, (instance.generation, instance.version))
            else:
                now = project(instance, entries)
                await self._statuses.put(key, encode(now), now.order, None)
        return True

    async def _told(self, each: Difference, mending: Awaitable[bool]) -> StatusDifference:
        mended = await mending
        key = each.found.key
        metrics.STATUS_DIFFERENCES.labels(each.reason, "mended" if mended else "left").inc()
        log.warning(
            "status_differed", kind=key.kind, workflow_id=key.id, reason=each.reason, mended=mended
        )
        return StatusDifference(kind=key.kind, id=key.id, reason=each.reason, mended=mended)


def difference(found: Found, expected: StatusDocument) -> Reason | None:
    """How a key differs from what its journal, which was read later, would have there."""
    if found.deleted:
        return "missing"
    shown = found.document
    if shown is None:
        return "altered"
    if shown.order[:2] != expected.order[:2]:
        return "behind" if shown.order < expected.order else "ahead"
    pausing = replace(expected, status=Status.WAITING_FOR_PAUSE, stage=1)
    # Shown between two commits, so that only a running instance can be on the way.
    allowed = (expected, pausing) if expected.status is Status.RUNNING else (expected,)
    return None if shown in allowed else "altered"
