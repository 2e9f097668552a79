"""When use is near its limit, and when it has reached it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.models import SubscriptionStatus
from services.billing.rules.usage import usage_notice

ACTIVE = SubscriptionStatus.ACTIVE
BIGINT = st.integers(0, 2**63 - 1)


@pytest.mark.rule("billing-usage")
@pytest.mark.parametrize(
    ("used", "limit", "notice"),
    [
        (0, 1000, None),
        (900, 1000, None),
        (901, 1000, "usage_warning"),
        (999, 1000, "usage_warning"),
        (1000, 1000, "usage_exceeded"),
        (1001, 1000, "usage_exceeded"),
        (10**15, None, None),
        (0, 0, None),
        (1, 0, "usage_exceeded"),
        (1, 1, "usage_exceeded"),
        # A float takes both for nine tenths.
        (9 * 10**17, 10**18, None),
        (9 * 10**17 + 1, 10**18, "usage_warning"),
    ],
)
def test_use_is_told_above_nine_tenths_and_at_the_limit(
    used: int, limit: int | None, notice: str | None
) -> None:
    assert usage_notice(ACTIVE, "api_calls", used, limit) == notice


@pytest.mark.rule("billing-usage")
def test_storage_has_a_warning_of_its_own() -> None:
    assert usage_notice(ACTIVE, "storage_bytes", 901, 1000) == "storage_warning"
    assert usage_notice(ACTIVE, "storage_bytes", 1000, 1000) == "usage_exceeded"


@pytest.mark.rule("billing-usage")
def test_limits_hold_for_whoever_is_served() -> None:
    watched = {status for status in SubscriptionStatus if usage_notice(status, "api_calls", 1, 1)}
    assert watched == {
        SubscriptionStatus.ACTIVE,
        SubscriptionStatus.TRIALING,
        SubscriptionStatus.PAST_DUE,
    }


@pytest.mark.rule("billing-usage")
@given(used=BIGINT, more=BIGINT, limit=BIGINT)
def test_more_use_never_takes_a_notice_back(used: int, more: int, limit: int) -> None:
    order = [None, "usage_warning", "usage_exceeded"]
    before = usage_notice(ACTIVE, "api_calls", used, limit)
    after = usage_notice(ACTIVE, "api_calls", used + more, limit)
    assert order.index(before) <= order.index(after)
