"""A player as a person who is exported or erased."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.player.store.persons import SECTIONS, PersonStore
from shared.messages.persons import PersonOfErasure, PersonState
from shared.postgres.persons import Section, TraceStore
from shared.runtime.handling import AnyErrand
from shared.runtime.persons import (
    PersonErrands,
    check_held,
    check_holder,
    state_of,
    transaction,
)
from shared.runtime.surroundings import Surroundings
from shared.workflow.ports import Connection


class Players:
    """See PersonOwner. Nothing that a player has under way outlasts a transaction."""

    sections: Sequence[Section] = SECTIONS

    async def state(self, connection: Connection, person_id: UUID) -> PersonState:
        """See PersonOwner."""
        row = await PersonStore(connection, person_id).lock()
        if row is None:
            return state_of(person_id, found=False)
        return state_of(person_id, found=True, held_by=row["held_by"], erased_at=row["erased_at"])

    async def hold(self, connection: Connection, person: PersonOfErasure) -> PersonState:
        """See PersonOwner."""
        store = PersonStore(connection, person.id)
        row = await store.lock()
        if row is not None and row["erased_at"] is None:
            check_holder(row["held_by"], person)
            await store.hold(person.erasure)
        return await self.state(connection, person.id)

    async def release(self, connection: Connection, person: PersonOfErasure) -> None:
        """See PersonOwner."""
        await PersonStore(connection, person.id).release(person.erasure)

    async def erase(self, surroundings: Surroundings, person: PersonOfErasure) -> None:
        """See PersonOwner."""
        async with transaction(surroundings, "look at a player") as connection:
            row = await PersonStore(connection, person.id).lock()
        if row is None:
            return
        if row["erased_at"] is None:
            check_held(row["held_by"], person)
        # While the address is still known.
        await TraceStore(surroundings.pool).forget(person.id, [row["email"]])
        async with transaction(surroundings, "erase a player") as connection:
            store = PersonStore(connection, person.id)
            row = await store.lock()
            if row is not None and row["erased_at"] is None:
                # The hold may have been called off meanwhile.
                check_held(row["held_by"], person)
            await store.delete()
            await store.anonymise(surroundings.clock.now())


ERRANDS: tuple[AnyErrand, ...] = PersonErrands(Players()).errands()
