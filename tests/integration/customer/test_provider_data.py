"""What the provider is told of a customer: each change once, and nothing of it is journaled."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from services.billing.models import ProviderCustomer
from services.billing.payments.provider import RequestRefused
from shared.messages.billing import UpdateCustomer
from tests.integration.customer.firm import Firm


async def known(firm: Firm) -> list[tuple[str, str, str]]:
    """What the provider knows of its customers."""
    rows = await firm.books.fetch("SELECT email, tz, payment_method FROM sandbox_customers")
    return [(row["email"], row["tz"], row["payment_method"]) for row in rows]


async def told(firm: Firm) -> int:
    """How often runs told the provider."""
    runs = await firm.harness.instances("customer")
    return sum("sync_customer" in run.completed for run in runs)


async def move(firm: Firm, customer_id: UUID) -> None:
    """Changes address and zone."""
    request = UpdateCustomer(
        customer_id=customer_id, email="lovelace@example.org", timezone="Europe/London"
    )
    await firm.do("update_customer", request)


async def test_each_change_is_told_once(firm: Firm) -> None:
    customer_id = await firm.customer()
    assert await known(firm) == [("ada@example.org", "UTC", "pm_card_visa")]
    for _ in range(2):
        await firm.run(customer_id)
    assert await told(firm) == 1
    await move(firm, customer_id)
    await firm.pay_by(customer_id, "pm_card_mastercard")
    await move(firm, customer_id)
    await firm.run(customer_id)
    assert await known(firm) == [("lovelace@example.org", "Europe/London", "pm_card_mastercard")]
    assert await told(firm) == 3


async def test_a_provider_that_is_away_fails_nothing_and_is_told_the_next_day(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    await firm.sandbox.go_down(firm.now + timedelta(hours=20))
    await move(firm, customer_id)
    run = await firm.run(customer_id)
    await firm.harness.advance(minutes=1)
    assert (run.status, run.output.synced) == ("complete", False)
    look_at = await firm.next_look(subscription_id)
    assert look_at is not None
    assert timedelta(hours=23) < look_at - firm.now <= timedelta(days=1)
    await firm.harness.advance_to(look_at)
    await firm.sweep()
    assert await known(firm) == [("lovelace@example.org", "Europe/London", "pm_card_visa")]


async def test_a_new_payment_method_reaches_the_provider_before_it_is_charged(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    end = await firm.period_end(subscription_id)
    async with firm.harness.connection() as connection:
        # As where the run that tells of it is late.
        await connection.execute(
            "UPDATE customers SET payment_method = 'pm_card_mastercard', version = version + 1"
        )
    firm.harness.fail("sync_customer", times=3)
    await firm.harness.advance_to(end)
    await firm.run(customer_id)
    await firm.harness.advance(minutes=1)
    assert await known(firm) == [("ada@example.org", "UTC", "pm_card_mastercard")]
    assert await firm.charges() == {customer_id: 2}


async def test_a_customer_whom_the_provider_refuses_is_declined_and_no_run_fails(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(customer: ProviderCustomer) -> str:
        raise RequestRefused(f"no such payment method of {customer.customer_id}")

    monkeypatch.setattr(firm.sandbox, "save_customer", refuse)
    customer_id, subscription_id = await firm.subscriber()
    run = await firm.run(customer_id)
    assert (run.status, run.output.synced) == ("complete", False)
    assert run.step("sync_customer").attempts == 1
    assert await firm.status(subscription_id) == "incomplete"
    [renewal] = await firm.harness.instances("renewal")
    assert renewal.status == "waiting"
    rows = await firm.harness.rows("SELECT decline_class, decline_code FROM payment_attempts")
    assert rows == [("hard", "request_refused")]


async def test_no_journal_holds_personal_data(firm: Firm) -> None:
    customer_id, _ = await firm.owing()
    await move(firm, customer_id)
    await firm.sandbox.go_down(firm.now + timedelta(hours=1))
    await firm.customer(email="turing@example.org")
    await firm.harness.advance(days=2)
    for table in ("workflow_journal", "workflow_instances", "outbox", "inbox"):
        found = await firm.harness.rows(
            f"SELECT row FROM (SELECT t::text AS row FROM {table} AS t) AS rows"
            " WHERE row LIKE '%@example.org%'"
        )
        assert found == [], table
    assert await firm.count("workflow_journal") > 0
