"""What a renewal does next, as its journal keeps it."""

from __future__ import annotations

import msgspec

from services.billing.models import AttemptState, Charge, InvoiceState, SubscriptionStatus
from services.billing.saga.state import Done, GiveBack, LookUp, Send, Wait
from services.billing.transitions import Case
from services.billing.workflows.cashier import Order


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done now, and where the saga stands."""

    move: Send | LookUp | GiveBack | Wait | Done
    order: Order | None = None
    status: SubscriptionStatus
    invoice: InvoiceState
    attempts: int


class RenewalReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the period's payment ended."""

    status: SubscriptionStatus
    invoice: InvoiceState
    attempts: int


def decided(case: Case, move: Send | LookUp | GiveBack | Wait | Done) -> Decision:
    """The decision, with what the provider is to be asked."""
    attempt, terms = case.attempt, case.terms
    order = None
    if attempt is not None:
        order = Order(
            customer_id=terms.customer_id,
            provider=attempt.provider,
            may_have_arrived=attempt.state is AttemptState.UNKNOWN,
            charge=Charge(
                key=attempt.key,
                customer_reference=terms.customer_reference or "",
                payment_method=attempt.payment_method,
                money=attempt.money,
                metadata={
                    "subscription": str(terms.id),
                    "period": case.invoice.period_start.isoformat(),
                    "attempt": str(attempt.number),
                },
            ),
        )
    return Decision(
        move=move,
        order=order,
        status=case.terms.status,
        invoice=case.invoice.state,
        attempts=0 if attempt is None else attempt.number,
    )


def ordered(decision: Decision) -> Order:
    """What the provider is to be asked: a move that asks has an attempt."""
    if decision.order is None:
        raise ValueError(f"{decision.move} asks about no attempt")
    return decision.order


def report(decision: Decision) -> RenewalReport:
    """The run's output."""
    return RenewalReport(
        status=decision.status, invoice=decision.invoice, attempts=decision.attempts
    )
