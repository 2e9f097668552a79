"""Where localstripe behaves as Stripe does, the emulator answers as localstripe.

Not where it does not: it ignores idempotency keys, gives back more than was taken, confirms most
cards that a bank declines, and knows neither `return_url` nor a search.
"""

from __future__ import annotations

import pytest
import stripe


async def paying(api: stripe.V1Services, method: str) -> tuple[str, str]:
    """A customer to whom the payment method is attached, and its id there."""
    customer = await api.customers.create_async({"email": "ada@example.org"})
    attached = await api.payment_methods.attach_async(method, {"customer": customer.id})
    assert attached.customer == customer.id
    return customer.id, attached.id


async def charge(api: stripe.V1Services, method: str) -> stripe.PaymentIntent:
    """A charge of EUR 9.99, confirmed at once."""
    customer, attached = await paying(api, method)
    return await api.payment_intents.create_async(
        {
            "amount": 999,
            "currency": "eur",
            "customer": customer,
            "payment_method": attached,
            "confirm": True,
            "off_session": True,
            "metadata": {"key": "one"},
        }
    )


async def test_a_customer_is_made_and_changed(api: stripe.V1Services) -> None:
    made = await api.customers.create_async({"email": "ada@example.org"})
    changed = await api.customers.update_async(made.id, {"email": "grace@example.org"})
    assert made.id.startswith("cus_")
    assert (changed.object, changed.id, changed.email) == ("customer", made.id, "grace@example.org")


async def test_a_charge_succeeds(api: stripe.V1Services) -> None:
    intent = await charge(api, "pm_card_visa")
    assert intent.id.startswith("pi_")
    assert (intent.status, intent.amount, intent.currency) == ("succeeded", 999, "eur")


async def test_a_card_is_declined_after_it_was_attached(api: stripe.V1Services) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await charge(api, "pm_card_chargeCustomerFail")
    assert (declined.value.http_status, declined.value.code) == (402, "card_declined")


async def test_money_goes_back_and_the_refund_is_listed(api: stripe.V1Services) -> None:
    intent = await charge(api, "pm_card_visa")
    made = await api.refunds.create_async({"payment_intent": intent.id, "amount": 999})
    assert (made.object, made.status, made.amount) == ("refund", "succeeded", 999)
    listed = await api.refunds.list_async({"payment_intent": intent.id})
    assert [each.id for each in listed.data] == [made.id]


async def test_nothing_is_attached_to_a_customer_who_is_not_there(api: stripe.V1Services) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await api.payment_methods.attach_async("pm_card_visa", {"customer": "cus_nobody"})
