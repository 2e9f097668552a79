"""A customer as a person who is exported or erased."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.billing.payments.provider import (
    OutcomeUnclear,
    PaymentProvider,
    ProviderUnreachable,
    RequestRefused,
)
from services.billing.store.customer_run import CustomerRunStore
from services.billing.store.persons import SECTIONS, PersonStore
from shared.messages.persons import PersonOfErasure, PersonState
from shared.messages.problems import Refused
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
from shared.workflow.errors import Transient
from shared.workflow.ports import Connection


class Customers:
    """See PersonOwner; `provider` is who is told of customers."""

    sections: Sequence[Section] = SECTIONS

    def __init__(self, provider: PaymentProvider):
        self._provider = provider

    async def state(self, connection: Connection, person_id: UUID) -> PersonState:
        """See PersonOwner."""
        row = await PersonStore(connection, person_id).find()
        if row is None:
            return state_of(person_id, found=False)
        return state_of(person_id, found=True, held_by=row["held_by"], erased_at=row["erased_at"])

    async def hold(self, connection: Connection, person: PersonOfErasure) -> PersonState:
        """See PersonOwner. Refuses whoever has a subscription, a payment, a refund or a dispute
        under way."""
        # Before the customer, as everybody locks them.
        await CustomerRunStore(connection, person.id).lock_subscriptions()
        store = PersonStore(connection, person.id)
        row = await store.find(alone=True)
        if row is not None and row["erased_at"] is None:
            check_holder(row["held_by"], person)
            # In a statement after the lock: what was begun under it is seen.
            for each in await store.under_way():
                raise Refused(each["code"], each["detail"], status=409, field="customerId")
            await store.hold(person.erasure)
        return await self.state(connection, person.id)

    async def release(self, connection: Connection, person: PersonOfErasure) -> None:
        """See PersonOwner."""
        await PersonStore(connection, person.id).release(person.erasure)

    async def erase(self, surroundings: Surroundings, person: PersonOfErasure) -> None:
        """See PersonOwner."""
        async with transaction(surroundings, "look at a customer") as connection:
            row = await PersonStore(connection, person.id).find()
        if row is None:
            return
        if row["erased_at"] is None:
            check_held(row["held_by"], person)
        await self._forget(person.id, row["provider_reference"])
        # While the address is still known.
        await TraceStore(surroundings.pool).forget(person.id, [row["email"]])
        async with transaction(surroundings, "erase a customer") as connection:
            store = PersonStore(connection, person.id)
            row = await store.find(alone=True)
            if row is not None and row["erased_at"] is None:
                # The hold may have been called off meanwhile.
                check_held(row["held_by"], person)
            await store.anonymise(surroundings.clock.now())

    async def _forget(self, customer_id: UUID, reference: str | None) -> None:
        try:
            await self._provider.forget_customer(customer_id, reference)
        except (ProviderUnreachable, OutcomeUnclear) as error:
            raise Transient(f"the payment provider: {error}") from error
        except RequestRefused as error:
            raise Refused(
                "provider_refused",
                f"the payment provider does not delete the customer: {error}",
                status=409,
            ) from error


def errands(provider: PaymentProvider) -> tuple[AnyErrand, ...]:
    """As the service takes them."""
    return PersonErrands(Customers(provider)).errands()
