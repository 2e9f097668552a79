"""What the environment may say of dunning."""

from __future__ import annotations

import pytest

from services.billing import policy
from services.billing.config import BillingSettings
from services.billing.rules.dunning import DunningSchedule
from shared.runtime.config import ConfigurationError, load

NEEDED = {
    "NATS_URL": "nats://127.0.0.1:4222",
    "DATABASE_URL": "postgresql://127.0.0.1/billing",
    "PAYMENT_PROVIDER": "sandbox",
    "SANDBOX_WEBHOOK_SECRET": "secret",
}


def settings(**more: str) -> BillingSettings:
    return load(BillingSettings, {**NEEDED, **more})


def test_without_a_word_the_schedule_and_the_table_are_the_rules_own() -> None:
    assert policy.schedule(settings()) == DunningSchedule()
    assert policy.declines(settings())["lost_card"] == "hard"


def test_another_schedule_can_be_set() -> None:
    chosen = settings(DUNNING_RETRY_DAYS="1,3,5", DUNNING_CANCEL_DAYS="7", DUNNING_STOP_DAYS="14")
    assert policy.schedule(chosen) == DunningSchedule(
        retry_days=(1, 3, 5), cancel_days=7, stop_days=14
    )


def test_a_schedule_that_ends_before_its_retries_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cancel_days"):
        policy.schedule(settings(DUNNING_CANCEL_DAYS="7"))


def test_codes_can_be_added_and_moved() -> None:
    table = policy.declines(settings(HARD_DECLINES="card_melted", SOFT_DECLINES="expired_card"))
    assert (table["card_melted"], table["expired_card"]) == ("hard", "soft")


def test_a_code_cannot_be_both() -> None:
    with pytest.raises(ConfigurationError, match="both name card_melted"):
        policy.declines(settings(HARD_DECLINES="card_melted", SOFT_DECLINES="card_melted"))
