"""What operators ask of retention."""

from __future__ import annotations

from services.maintenance.store.retention import RetentionStore
from shared.messages.maintenance.retention import (
    AllRetention,
    RetentionPolicies,
    RetentionPolicy,
    SetRetention,
)
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work

OUTBOX_SECONDS = 7 * 86_400
"""As long as EVENTS: `recover` tells again what NATS lost (engine rule 26)."""


async def retention(work: Work, _: AllRetention) -> RetentionPolicies:
    """Every policy."""
    return RetentionPolicies(policies=await RetentionStore(work.connection).policies())


async def set_retention(work: Work, change: SetRetention) -> RetentionPolicy:
    """Changes one from the next run on."""
    if change.keep_seconds is None and change.enabled is None:
        raise Refused("nothing_to_change", "give keepSeconds, enabled or both")
    if change.name == "outbox" and (change.keep_seconds or OUTBOX_SECONDS) < OUTBOX_SECONDS:
        raise Refused(
            "kept_too_shortly",
            f"an outbox is kept for {OUTBOX_SECONDS} seconds at least: `recover` needs what "
            "events are kept for",
            field="keepSeconds",
        )
    store = RetentionStore(work.connection)
    changed = await store.set(change, work.now, work.actor)
    if changed is None:
        names = ", ".join(f"{each.owner}/{each.name}" for each in await store.policies())
        raise Refused(
            "policy_not_found",
            f"there is no policy {change.owner}/{change.name}; there are: {names}",
            status=404,
        )
    return changed


COMMANDS: tuple[AnyHandler, ...] = (Handler("set_retention", SetRetention, set_retention),)
QUERIES: tuple[AnyHandler, ...] = (Handler("retention", AllRetention, retention),)
