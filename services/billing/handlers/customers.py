"""Carries out requests about customers."""

from __future__ import annotations

from uuid import uuid4

from services.billing.handlers.finding import (
    check_zone,
    customer_of,
    no_customer,
    present_customer,
)
from services.billing.handlers.happening import happen_to
from services.billing.models import SubscriptionStatus
from services.billing.rules.money import exponent
from services.billing.saga.state import MethodChanged
from services.billing.store import CustomerStore
from services.billing.store.customer_run import CustomerRunStore
from shared.messages.billing import (
    CreateCustomer,
    Customer,
    CustomerCreated,
    PaymentMethodChanged,
    SetPaymentMethod,
    UpdateCustomer,
)
from shared.messages.problems import Refused
from shared.messages.workflows import StartCustomer
from shared.runtime.handling import AnyHandler, Handler, Work


async def create_customer(work: Work, request: CreateCustomer) -> Customer:
    """A new customer, whom a run tells the payment provider of."""
    check_zone(request.timezone)
    exponent(request.currency)
    store = CustomerStore(work.connection)
    customer_id = request.id or uuid4()
    customer = await store.create(customer_id, request, work.now)
    if customer is None:
        field = "externalId" if await store.find(customer_id) is None else "id"
        if field == "id":
            await present_customer(work, customer_id)
        raise Refused(
            "customer_exists", f"there is a customer with this {field}", status=409, field=field
        )
    created = CustomerCreated(
        customer_id=customer.id, currency=customer.currency, timezone=customer.timezone
    )
    work.publish(created)
    start_run(work, customer)
    return customer


async def update_customer(work: Work, request: UpdateCustomer) -> Customer:
    """Changes what is given."""
    if isinstance(request.timezone, str):
        check_zone(request.timezone)
    await present_customer(work, request.customer_id, alone=True)
    customer = await CustomerStore(work.connection).update(request)
    if customer is None:
        raise no_customer(request.customer_id)
    start_run(work, customer)
    return customer


async def set_payment_method(work: Work, request: SetPaymentMethod) -> Customer:
    """Changes it, and has what is open and was declined charged at once."""
    # Before the customer, as everybody locks them.
    subscriptions = await CustomerRunStore(
        work.connection, request.customer_id
    ).lock_subscriptions()
    await present_customer(work, request.customer_id, alone=True)
    store = CustomerStore(work.connection)
    customer = await store.set_payment_method(request.customer_id, request.payment_method)
    if customer is None:
        return await customer_of(work, request.customer_id)
    work.publish(PaymentMethodChanged(customer_id=customer.id))
    start_run(work, customer)
    for each in subscriptions:
        if each.status is not SubscriptionStatus.CANCELED:
            await happen_to(work, each.id, MethodChanged())
    return customer


def start_run(work: Work, customer: Customer) -> None:
    """Has the payment provider told; a version that was told already starts nothing."""
    work.start(
        StartCustomer(id=f"customer-{customer.id}-v{customer.version}", customer_id=customer.id)
    )


COMMANDS: tuple[AnyHandler, ...] = (
    Handler("create_customer", CreateCustomer, create_customer),
    Handler("update_customer", UpdateCustomer, update_customer),
    Handler("set_payment_method", SetPaymentMethod, set_payment_method),
)
