"""The erasure of a person: a saga over the services that hold their data."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec

from services.maintenance.persons import Documents, Owned, PersonOwners, owned
from services.maintenance.store.analytics import AnalyticsStore
from services.maintenance.store.persons import PersonStore
from shared.messages.persons import PersonErased, PersonState
from shared.messages.workflows import StartPersonErasure
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.options import Retry
from shared.workflow.step import Step

ASKING = Retry(max_attempts=10, max_delay=timedelta(minutes=1))

PATIENT = Retry(max_attempts=40, delay=timedelta(seconds=10), max_delay=timedelta(hours=12))
"""Once one service has erased, the others are asked for weeks: there is no way back."""

TIMEOUT = timedelta(seconds=60)

EXPORTS_KEPT = timedelta(days=30)
"""Longer than any document."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """When the erasure was noted, and whose documents are left to delete."""

    at: datetime
    exports: tuple[str, ...]


class PersonErasureWorkflow:
    """Erases a person from all services, or from none."""

    kind = "person_erasure"

    def __init__(self, owners: PersonOwners, documents: Documents) -> None:
        self._owners = owners
        self._documents = documents

    async def run(self, ctx: WorkflowContext, start: StartPersonErasure) -> PersonErased:
        """Held everywhere, then erased everywhere; a refusal releases whoever was held."""
        asking = ctx.options(retry=ASKING, timeout=TIMEOUT)
        patient = ctx.options(retry=PATIENT, timeout=TIMEOUT)
        known: list[Owned] = []
        for each in owned(start):
            state = await asking.call(
                f"hold_{each.service}",
                self.hold,
                each,
                start.again,
                compensate=partial(self.release, each),
            )
            known += [each] if state.state != "absent" else []
        for each in known:
            await patient.call(f"erase_{each.service}", self.erase, each)
        strangers = (ctx.uuid4(), ctx.uuid4())
        recorded = await ctx.step("record", self.record, start, strangers)
        await patient.call("delete_exports", self.delete_exports, recorded.exports)
        await ctx.step("forget_exports", self.forget_exports, recorded.exports)
        return PersonErased(
            services=tuple(each.service for each in known),
            erased_at=recorded.at,
            exports_deleted=len(recorded.exports),
        )

    async def hold(self, call: Call, each: Owned, may_be_absent: bool) -> PersonState:
        """Lets nothing new begin for the person; refused where something is under way."""
        state = await self._owners.ask(call, "hold_person", each)
        if state.state == "absent" and not may_be_absent:
            raise NonRetryableError("person_not_found", f"{each.service} does not know {each.id}")
        return state

    async def release(self, each: Owned, call: Call, _held: PersonState | None) -> None:
        """Calls the hold off."""
        await self._owners.ask(call, "release_person", each)

    async def erase(self, call: Call, each: Owned) -> PersonState:
        """For good."""
        return await self._owners.ask(call, "erase_person", each)

    async def record(
        self, step: Step, start: StartPersonErasure, strangers: tuple[UUID, UUID]
    ) -> Recorded:
        """Notes the erasure, so that it can be repeated after a restore, and that no export of the
        person is kept from here on; what was counted of the person counts for a stranger."""
        store = PersonStore(step.connection)
        await store.add_erasure(step.workflow_id, start, step.now)
        for known, stranger in zip((start.player_id, start.customer_id), strangers, strict=True):
            if known is not None:
                await AnalyticsStore(step.connection).forget_person(known, stranger)
        return Recorded(at=step.now, exports=tuple(await store.exports_of(start)))

    async def delete_exports(self, _call: Call, exports: tuple[str, ...]) -> None:
        """Deletes the documents that hold something of the person."""
        for workflow_id in exports:
            await self._documents.delete(workflow_id)

    async def forget_exports(self, step: Step, exports: tuple[str, ...]) -> None:
        """Takes them off the list, with those that have expired."""
        store = PersonStore(step.connection)
        await store.forget_exports(list(exports), step.now - EXPORTS_KEPT)
