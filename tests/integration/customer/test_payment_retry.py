"""A payment at once, for whoever asks: it is the open renewal that makes it."""

from __future__ import annotations

from typing import Literal
from uuid import uuid4

import pytest

from shared.messages.workflows import StartPaymentRetry
from tests.integration.customer.firm import Firm


@pytest.mark.parametrize("by", ["customer", "admin"])
async def test_it_has_the_open_renewal_charge_and_counts_as_no_failure(
    firm: Firm, by: Literal["customer", "admin"]
) -> None:
    _, subscription_id = await firm.owing()
    renewal = (await firm.harness.instances("renewal"))[-1]
    retry = await firm.harness.start(StartPaymentRetry(subscription_id=subscription_id, by=by))
    assert retry.output.renewal == renewal.id
    attempts = await firm.harness.rows("SELECT initiator, state FROM payment_attempts ORDER BY id")
    assert attempts[1:] == [("cycle", "declined"), (by, "declined")]
    assert await firm.harness.rows("SELECT failures FROM invoices WHERE state = 'open'") == [(1,)]


async def test_where_nothing_is_owed_it_ends_with_a_clear_error(firm: Firm) -> None:
    _, subscription_id = await firm.subscriber()
    retry = await firm.harness.start(StartPaymentRetry(subscription_id=subscription_id))
    assert (retry.status, retry.error.name) == ("errored", "not_payable")
    assert "nothing is owed" in retry.error.message
    assert await firm.count("payment_attempts") == 1


async def test_while_an_attempt_is_in_flight_it_ends_with_a_clear_error(firm: Firm) -> None:
    _, subscription_id = await firm.subscriber("sandbox_pending_3_days_then_succeeds")
    retry = await firm.harness.start(StartPaymentRetry(subscription_id=subscription_id))
    assert (retry.status, retry.error.name) == ("errored", "not_payable")
    assert "an attempt is in flight" in retry.error.message
    assert await firm.count("payment_attempts") == 1


async def test_a_subscription_that_is_not_there_ends_it_with_a_clear_error(firm: Firm) -> None:
    retry = await firm.harness.start(StartPaymentRetry(subscription_id=uuid4()))
    assert (retry.status, retry.error.name) == ("errored", "subscription_not_found")


async def test_a_renewal_that_ended_is_followed_by_another(firm: Firm) -> None:
    customer_id, subscription_id = await firm.owing()
    renewal = (await firm.harness.instances("renewal"))[-1]
    await renewal.terminate()
    retry = await firm.harness.start(StartPaymentRetry(subscription_id=subscription_id))
    assert retry.output.renewal == f"{renewal.id}-again-1"
    assert await firm.count("payment_attempts") == 3
    # It goes on with the schedule, and is the one that is signalled from now on.
    await firm.pay_by(customer_id, "pm_card_visa")
    assert await firm.status(subscription_id) == "active"


async def test_money_that_a_terminated_renewal_left_under_way_goes_back(firm: Firm) -> None:
    _, subscription_id = await firm.subscriber("sandbox_timeout_after_charging")
    renewal = (await firm.harness.instances("renewal"))[-1]
    assert await firm.harness.rows("SELECT state FROM payment_attempts") == [("unknown",)]
    await renewal.terminate()
    # Nobody is there to hear of it: another renewal follows the payment to its end.
    await firm.cancel(subscription_id, at_period_end=False)
    await firm.harness.advance(days=1)
    follower = (await firm.harness.instances("renewal"))[-1]
    assert (follower.id, follower.status) == (f"{renewal.id}-again-1", "complete")
    attempts = await firm.harness.rows("SELECT state, refund_state FROM payment_attempts")
    assert attempts == [("succeeded", "refunded")]
