"""What the billing service answers and takes besides workflows."""

from __future__ import annotations

from collections.abc import Mapping

from services.billing.handlers import customers, invoices, plans, subscriptions
from services.billing.handlers.facts import FACTS, USAGE
from services.billing.handlers.queries import QUERIES
from services.billing.handlers.webhooks import Webhooks
from services.billing.models import DeclineClass
from services.billing.payments.provider import PaymentProvider
from services.billing.rules.declines import DECLINES
from shared.runtime.handling import AnyHandler

__all__ = ["FACTS", "QUERIES", "commands"]


def commands(
    providers: Mapping[str, PaymentProvider], declines: Mapping[str, DeclineClass] = DECLINES
) -> tuple[AnyHandler, ...]:
    """The commands, with the webhooks of these providers, by name."""
    return (
        *customers.COMMANDS,
        *plans.COMMANDS,
        *subscriptions.COMMANDS,
        *invoices.COMMANDS,
        USAGE,
        *Webhooks(providers, declines).commands(),
    )
