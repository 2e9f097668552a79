"""What a renewal asks the provider, and what it makes of the answers."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec
import structlog

from services.billing.models import Charge, Payment, Refund
from services.billing.payments.customers import CustomerDirectory
from services.billing.payments.provider import (
    OutcomeUnclear,
    PaymentProvider,
    ProviderUnreachable,
    RequestRefused,
)
from shared.workflow.call import Call
from shared.workflow.errors import NonRetryableError

log = structlog.get_logger()


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider is to be asked; ids alone, since it is journaled."""

    customer_id: UUID
    charge: Charge
    provider: str = ""
    """Whom it was sent to, or is about to be; empty in journals older than this field."""
    may_have_arrived: bool = False
    """Whether it was sent before, under the same key, and nobody knows what became of it."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of asking the provider."""

    outcome: Literal["told", "unknown", "not_sent", "not_found", "not_told", "refused"]
    payment: Payment | None = None
    reason: str = ""


class Cashier:
    """Asks one provider: bodies of calls, with no transaction open."""

    def __init__(self, provider: PaymentProvider, directory: CustomerDirectory) -> None:
        self.provider_name = provider.name
        self._provider = provider
        self._directory = directory

    async def send(self, _call: Call, order: Order) -> Answer:
        """Charges, once the provider has been asked for the key: a database that was restored from
        a backup must charge nobody again."""
        if self._is_others(order):
            return Answer(outcome="unknown", reason=f"{order.provider} is not asked any more")
        if not order.charge.payment_method:
            return Answer(outcome="refused", reason="no_payment_method")
        try:
            known = await self._provider.find(order.charge.key)
        except (ProviderUnreachable, OutcomeUnclear, RequestRefused) as error:
            # A look-up that is refused says nothing of the customer's payment method.
            return Answer(outcome="not_sent", reason=str(error))
        if known is not None:
            return told(order, known)
        try:
            charge = await self._addressed(order)
        except (ProviderUnreachable, OutcomeUnclear) as error:
            return Answer(outcome="not_sent", reason=str(error))
        except RequestRefused as error:
            return refused(order, error)
        try:
            return Answer(outcome="told", payment=await self._provider.charge(charge))
        except ProviderUnreachable as error:
            return Answer(outcome="not_sent", reason=str(error))
        except OutcomeUnclear as error:
            return Answer(outcome="unknown", reason=str(error))
        except RequestRefused as error:
            return refused(order, error)

    async def find_sent(self, call: Call, order: Order) -> Answer:
        """What became of an attempt whose sender died: that nothing is found tells nothing yet."""
        answer = await self.find(call, order)
        return answer if answer.outcome == "told" else Answer(outcome="unknown")

    async def find(self, _call: Call, order: Order) -> Answer:
        """What the provider knows of the attempt. That it knows nothing of another's tells nothing:
        it would be sent again, and paid to both."""
        if self._is_others(order):
            return Answer(outcome="not_told", reason=f"{order.provider} is not asked any more")
        try:
            payment = await self._provider.find(order.charge.key)
        except (ProviderUnreachable, OutcomeUnclear, RequestRefused) as error:
            return Answer(outcome="not_told", reason=str(error))
        if payment is None:
            return Answer(outcome="not_found")
        return told(order, payment)

    async def give_back(self, _call: Call, order: Order) -> None:
        """Refunds the attempt, unless that has been done."""
        charge = order.charge
        if self._is_others(order):
            raise NonRetryableError("another_provider", f"the money is at {order.provider}")
        try:
            payment = await self._provider.find(charge.key)
            if payment is None:
                # Money that came a moment ago: what the provider searches may lag behind it.
                raise OutcomeUnclear(f"no payment has the key {charge.key} yet")
            if payment.refunded_minor < charge.money.amount_minor:
                await self._provider.refund(
                    Refund(
                        key=f"{charge.key}-refund",
                        charge_key=charge.key,
                        provider_reference=payment.reference,
                        money=charge.money,
                    )
                )
        except RequestRefused as error:
            raise NonRetryableError("refund_refused", str(error)) from error

    def _is_others(self, order: Order) -> bool:
        return order.provider not in {"", self.provider_name}

    async def _addressed(self, order: Order) -> Charge:
        """The charge with the provider's id of the customer, who may be new to it, or pay by a
        method that is."""
        if order.charge.customer_reference:
            return order.charge
        customer = await self._directory.customer(order.customer_id)
        reference = await self._provider.save_customer(customer)
        return msgspec.structs.replace(order.charge, customer_reference=reference)


def told(order: Order, payment: Payment) -> Answer:
    """The provider's answer; none that counts where it took another amount under the key, as before
    a restored database went back to an older price: that is for an operator to resolve."""
    if payment.state == "declined" or payment.money == order.charge.money:
        return Answer(outcome="told", payment=payment)
    log.error("payment_of_another_amount", key=order.charge.key)
    return Answer(outcome="not_told", reason="the provider has another amount under this key")


def refused(order: Order, error: RequestRefused) -> Answer:
    """The provider will never take this request; of an earlier one it says nothing."""
    log.warning("payment_request_refused", key=order.charge.key, reason=str(error))
    if order.may_have_arrived:
        return Answer(outcome="unknown", reason="request_refused")
    return Answer(outcome="refused", reason="request_refused")
