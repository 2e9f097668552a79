"""What the environment decides about dunning."""

from __future__ import annotations

from collections.abc import Mapping

from services.billing.config import BillingSettings
from services.billing.models import DeclineClass
from services.billing.rules.declines import DECLINES
from services.billing.rules.dunning import DunningSchedule
from shared.runtime.config import ConfigurationError


def schedule(settings: BillingSettings) -> DunningSchedule:
    """Raises ConfigurationError for days that make no schedule."""
    days = tuple(int(day) for day in settings.dunning_retry_days.split(",") if day)
    try:
        return DunningSchedule(
            retry_days=days,
            cancel_days=settings.dunning_cancel_days,
            stop_days=settings.dunning_stop_days,
        )
    except ValueError as error:
        raise ConfigurationError((f"the DUNNING_… days: {error}",)) from error


def declines(settings: BillingSettings) -> Mapping[str, DeclineClass]:
    """The table with what the environment adds. Raises ConfigurationError for a code in both
    lists."""
    hard = {code for code in settings.hard_declines.split(",") if code}
    soft = {code for code in settings.soft_declines.split(",") if code}
    if both := sorted(hard & soft):
        raise ConfigurationError(
            (f"HARD_DECLINES and SOFT_DECLINES both name {', '.join(both)}: choose one",)
        )
    table: dict[str, DeclineClass] = dict(DECLINES)
    table.update(dict.fromkeys(hard, "hard"))
    table.update(dict.fromkeys(soft, "soft"))
    return table
