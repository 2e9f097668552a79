"""Where billing's notices reach the customer."""

from __future__ import annotations

from uuid import UUID

from shared.messages.notices import OPERATORS
from shared.notify.plan import NoticePlan
from shared.notify.rendering import Template
from shared.workflow.ports import Connection

TEMPLATES = {
    "renewal_reminder": Template(
        "Your subscription renews in $days days",
        "Your subscription renews at $periodEnd.\n"
        "You need do nothing: it is charged to your payment method.\n",
    ),
    "ending_notice": Template(
        "Your subscription ends in $days days",
        "Your subscription ends at $periodEnd, as you asked.\n"
        "You can withdraw the cancellation until then.\n",
    ),
    "payment_failed": Template(
        "Your payment of $amount did not go through",
        "We could not collect $amount.\n"
        "Where your bank asks you to confirm the payment, do so here: $actionUrl\n"
        "Otherwise check your payment method; we will try again.\n",
    ),
    "payment_reminder": Template(
        "Your payment of $amount is still missing",
        "Your payment of $amount has been missing for $daysPastDue days.\n"
        "Check your payment method; we will try again.\n",
    ),
    "final_notice": Template(
        "Your subscription is about to end",
        "Your payment of $amount has been missing for $daysPastDue days.\n"
        "Your subscription ends unless it arrives.\n",
    ),
    "cancellation": Template(
        "Your subscription has ended",
        "Your subscription has ended ($reason).\nWhat we know of your use is deleted in 30 days.\n",
    ),
    "usage_warning": Template(
        "You have used more than 90 % of your calls",
        "You have made $used of the $limit calls of this period.\n",
    ),
    "storage_warning": Template(
        "You have used more than 90 % of your storage",
        "You store $used of $limit bytes.\n",
    ),
    "usage_exceeded": Template(
        "You have reached a limit of your plan",
        "Of $metric you have used $used; your plan holds $limit.\n",
    ),
}


async def find_address(connection: Connection, recipient: str) -> str | None:
    """The customer's mail address, unless they were anonymised."""
    if recipient == OPERATORS:
        return None
    address: str | None = await connection.fetchval(
        "SELECT email FROM customers WHERE id = $1", UUID(recipient)
    )
    return address


def plan() -> NoticePlan:
    """Customers are written to; operators are called."""
    return NoticePlan(
        routes={
            "payment_needs_operator": ["webhook"],
            "payment_contradiction": ["webhook"],
            "renewal_stopped": ["webhook"],
            "*": ["mail"],
        },
        templates=TEMPLATES,
        find_address=find_address,
    )
