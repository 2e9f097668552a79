"""Every example of docs/messages-billing.md does on the wire what the page says."""

from __future__ import annotations

from typing import Any

import msgspec

from services.billing.models import Money, Payment
from services.billing.payments.sandbox import SIGNATURE_HEADER
from services.billing.payments.sandbox_events import SandboxEvent
from services.billing.payments.signature import sign
from shared.messages.base import Message, encode
from shared.messages.billing import (
    CancelSubscription,
    CreateCustomer,
    CreatePlan,
    CreateSubscription,
    Invoice,
    ProviderWebhook,
)
from shared.runtime.clocks import SystemClock
from tests.integration.docs.wire import WEBHOOK_SECRET, Wire, same_fields
from tests.markdown import Block, blocks, table

PAGE = "docs/messages-billing.md"
EXAMPLES = blocks(PAGE, "json")
ANSWER_OF = {row[0]: row[2] for row in table(PAGE, "name", "Struct", "answers")}
SHOWN = {
    block.about[1]: msgspec.json.decode(block.text)
    for page in (PAGE, "docs/messages.md")
    for block in blocks(page, "json")
    if block.about[0] == "answer"
}
CUSTOMER = SHOWN["Customer"]["id"]
INVOICE = SHOWN["Invoice"]["id"]
BIG = CreatePlan(id="big", name="Big", price="19.99", currency="EUR", interval="month")
UNHEARD = {"payment_unresolved"}
"""Told after a week in which nobody could say what became of an attempt."""


def examples(first_word: str) -> list[Block]:
    return [block for block in EXAMPLES if block.about[0].partition(".")[0] == first_word]


REQUESTS = (*examples("commands"), *examples("queries"))


class Page:
    """The page's examples on the wire, with the ids that follow from the present instant."""

    def __init__(self, wire: Wire):
        self.wire = wire
        self.ids: dict[str, str] = {}

    async def example(self, name: str, **changed: str) -> dict[str, Any]:
        """Asks as the page does for a command or query; the answer, shaped as the page says."""
        block = next(each for each in REQUESTS if each.about[0].endswith(f".{name}"))
        text = block.text
        for shown, real in {**self.ids, **changed}.items():
            text = text.replace(shown, real)
        return await self.ask(block.about[0], text.encode())

    async def command(self, name: str, message: Message) -> dict[str, Any]:
        """Asks for a command of the test's own."""
        return await self.ask(f"commands.billing.{name}", encode(message))

    async def ask(self, subject: str, body: bytes) -> dict[str, Any]:
        reply, headers = await self.wire.ask(subject, body)
        assert headers == {}, f"{subject} was refused: {reply!r}"
        answer: dict[str, Any] = msgspec.json.decode(reply)
        expected = SHOWN[ANSWER_OF[subject.rpartition(".")[2]]]
        assert same_fields(answer, expected), f"{subject}: {reply!r}"
        return answer

    async def told(self, name: str) -> dict[str, Any]:
        """The data of the last event of this name."""
        event = msgspec.json.decode(await self.wire.event(f"events.billing.{name}"))
        data: dict[str, Any] = event["data"]
        return data


async def test_the_examples_are_carried_out_and_answered_as_shown(billing_wire: Wire) -> None:
    page = Page(billing_wire)
    for name in ("create_customer", "create_plan", "create_subscription"):
        await page.example(name)
    page.ids = {INVOICE: (await page.told("invoice_paid"))["invoiceId"]}
    await page.command("create_plan", BIG)
    for name in ("update_customer", "set_payment_method", "update_plan", "usage"):
        await page.example(name)
    await page.example("change_plan", pro="big")
    for name in ("cancel_subscription", "uncancel_subscription"):
        await page.example(name)
    for block in (*examples("ingest"), *examples("workflows")):
        settled = await billing_wire.publish(block.about[0], block.text.encode())
        assert settled == b"+ACK", block.about
    for block in examples("queries"):
        await page.example(block.about[0].rpartition(".")[2])

    await page.command("provider_webhook", await chargeback(page))
    await page.example("resolve_dispute")
    await page.example("refund_invoice")
    await decline_and_cancel(page)
    await page.command("create_plan", msgspec.structs.replace(BIG, id="unused"))
    await page.example("delete_plan", pro="unused")

    for block in examples("events"):
        if block.about[0].rpartition(".")[2] not in UNHEARD:
            event = msgspec.json.decode(await billing_wire.event(block.about[0]))
            assert same_fields(event, msgspec.json.decode(block.text)), block.about


async def chargeback(page: Page) -> ProviderWebhook:
    """What the provider tells when a bank takes the money of the page's invoice back."""
    invoice = msgspec.convert(await page.example("invoice"), Invoice)
    now = SystemClock().now()
    payment = Payment(
        key=invoice.attempts[0].key,
        reference=invoice.attempts[0].reference or "",
        state="succeeded",
        money=Money(amount_minor=invoice.amount_minor, currency=invoice.currency),
    )
    event = SandboxEvent(
        id="evt_1",
        type="payment.disputed",
        created=now,
        payment=msgspec.Raw(msgspec.json.encode(payment)),
    )
    body = msgspec.json.encode(event)
    headers = {SIGNATURE_HEADER: sign(WEBHOOK_SECRET, body, now)}
    return ProviderWebhook(provider="sandbox", body=body, headers=headers)


async def decline_and_cancel(page: Page) -> None:
    """A customer whose card is declined, who asks for another attempt, and who leaves."""
    customer = await page.command(
        "create_customer",
        CreateCustomer(currency="EUR", payment_method="pm_card_chargeDeclinedInsufficientFunds"),
    )
    subscription = await page.command(
        "create_subscription", CreateSubscription(customer_id=customer["id"], plan_id="big")
    )
    failed = await page.told("payment_failed")
    accepted = await page.example("pay_invoice", **{INVOICE: failed["invoiceId"]})
    assert accepted["workflowId"].startswith(f"pay-{failed['invoiceId']}")
    await page.command(
        "cancel_subscription", CancelSubscription(subscription_id=subscription["id"])
    )
