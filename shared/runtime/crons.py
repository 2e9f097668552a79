"""Takes in the crons that a build of a service declares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from shared.messages.base import encode
from shared.postgres.crons import CronStore
from shared.runtime.outbox import Outbox
from shared.workflow.crons import Cron, StoredCron, Timetable
from shared.workflow.registry import Registry

log = structlog.get_logger()


class CronsChanged(Exception):
    """Other crons are stored under the declared revision; says what to do."""


def checked(crons: Sequence[Cron], revision: int, registry: Registry) -> tuple[Cron, ...]:
    """The declaration itself. Raises ValueError where it does not fit the service."""
    if crons and revision < 1:
        raise ValueError("`crons_revision` is missing: give 1, and one more with every change")
    names = [cron.name for cron in crons]
    for cron in crons:
        if names.count(cron.name) > 1:
            raise ValueError(f"cron {cron.name!r} is declared twice: rename one")
        if cron.trigger.kind not in registry.kinds:
            raise ValueError(
                f"cron {cron.name!r}: no workflow of kind {cron.trigger.kind!r} is registered here"
            )
    return tuple(crons)


async def declare(outbox: Outbox, crons: Sequence[Cron], revision: int, now: datetime) -> None:
    """Makes the stored crons those of the highest revision that was ever declared.

    A lower one changes nothing, so that a build before can start beside. Raises CronsChanged for
    other crons than are stored under the same revision, and Transient.
    """
    async with outbox.transaction("crons") as connection:
        store = CronStore(connection)
        stored_revision = await store.lock_revision()
        if revision < stored_revision:
            log.info("older_crons_left_out", revision=revision, stored_revision=stored_revision)
            return
        stored = {cron.name: cron for cron in await store.all()}
        changed = [cron for cron in crons if _differs(cron, stored.get(cron.name))]
        removed = stored.keys() - {cron.name for cron in crons}
        if revision == stored_revision:
            if changed or removed:
                names = ", ".join(sorted({*removed, *(cron.name for cron in changed)}))
                raise CronsChanged(
                    f"other crons are stored as revision {revision} ({names}): set "
                    f"`crons_revision` to {revision + 1}"
                )
            return
        for cron in changed:
            await store.save(_to_store(cron, stored.get(cron.name), now))
        await store.remove(list(removed))
        await store.set_revision(revision)
    log.info("crons_declared", revision=revision, crons=[cron.name for cron in crons])


def _differs(cron: Cron, stored: StoredCron | None) -> bool:
    return stored is None or stored.differs_from(cron)


def _to_store(cron: Cron, stored: StoredCron | None, now: datetime) -> StoredCron:
    """The row of a declaration; other times count from now, the same ones go on."""
    if stored is None or stored.has_other_times(cron):
        next_at = Timetable(cron.expression, cron.time_zone).after(now)
    else:
        next_at = stored.next_at
    return StoredCron(
        name=cron.name,
        kind=cron.trigger.kind,
        input=encode(cron.trigger),
        expression=cron.expression,
        time_zone=cron.time_zone,
        next_at=next_at,
    )
