"""docs/payments.md names the events, errors and payment methods that there are."""

from __future__ import annotations

import re

import msgspec

from services.billing.payments import provider
from services.billing.payments.behaviour import PLAIN, behaviour
from services.billing.payments.stripe_objects import INTENT_EVENTS, read_event
from tests.markdown import read, table

PAGE = "docs/payments.md"
OBJECTS = {
    "charge.refunded": {
        "id": "ch_1",
        "amount": 1,
        "currency": "eur",
        "payment_intent": "pi_1",
        "metadata": {"charge_key": "1"},
    },
    "charge.dispute.created": {"amount": 1, "currency": "eur", "payment_intent": "pi_1"},
}


def test_every_event_of_stripe_s_is_told_with_its_kind() -> None:
    documented = {row[0]: row[1] for row in table(PAGE, "event of Stripe's", "what it tells")}
    others = {name: kind for name, kind in documented.items() if name not in INTENT_EVENTS}
    assert {name: documented[name] for name in INTENT_EVENTS} == INTENT_EVENTS
    for name, content in OBJECTS.items():
        event = {"id": "evt_1", "type": name, "created": 0, "data": {"object": content}}
        assert read_event(msgspec.json.encode(event)).kind == others.pop(name)
    assert others == {}


def test_every_payment_method_that_is_told_is_one() -> None:
    documented = {row[0] for row in table(PAGE, "payment method", "what happens")}
    named = documented | set(re.findall(r"`(pm_card_\w+)`", read(PAGE)))
    assert {name for name in named if behaviour(name) is None} == set()
    assert set(PLAIN) <= documented


def test_every_error_is_told() -> None:
    documented = {row[0] for row in table(PAGE, "error", "what it says")}
    defined = {
        name
        for name, value in vars(provider).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert documented == defined
