"""What the emulator keeps: customers, payments, refunds and events, without HTTP."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.testing.stripe_emulator.cards import METHODS, Method

Object = dict[str, Any]
QUERY = re.compile(r"metadata\['(\w+)'\]:'((?:[^'\\]|\\.)*)'")


class Refused(Exception):
    """An answer that is an error; `kept` tells whether the idempotency key gives it again."""

    def __init__(self, status: int, error: Object, *, kept: bool = False):
        super().__init__(error)
        self.status = status
        self.error = error
        self.kept = kept


def invalid(message: str, code: str | None = None) -> Refused:
    """A request that can never be right."""
    status = 404 if code == "resource_missing" else 400
    return Refused(status, {"type": "invalid_request_error", "code": code, "message": message})


class Account:
    """One account in test mode; `search_lag` is how long a new object is not found by a search."""

    def __init__(self, now: Callable[[], datetime]):
        self.search_lag = timedelta(0)
        self.customers: dict[str, Object] = {}
        self.intents: dict[str, Object] = {}
        self.charges: dict[str, Object] = {}
        self.refunds: dict[str, Object] = {}
        self.events: list[Object] = []
        self._now = now
        self._numbers = itertools.count(1)

    # -- requests --------------------------------------------------------------------------------

    def create_customer(self, given: Object) -> Object:
        customer = self._new("customer", "cus", email=given.get("email") or None)
        customer["metadata"] = given.get("metadata", {})
        self.customers[customer["id"]] = customer
        return customer

    def update_customer(self, reference: str, given: Object) -> Object:
        customer = self._customer(reference)
        customer["email"] = given.get("email", customer["email"]) or None
        customer["metadata"] |= given.get("metadata", {})
        return customer

    def delete_customer(self, reference: str, _given: Object) -> Object:
        self._customer(reference)
        del self.customers[reference]
        return {"id": reference, "object": "customer", "deleted": True}

    def attach(self, payment_method: str, given: Object) -> Object:
        method = _method(payment_method)
        self._customer(given.get("customer"))
        if not method.attachable:
            raise _declined(method, payment_method)
        return {"id": payment_method, "object": "payment_method", "customer": given["customer"]}

    def create_intent(self, given: Object) -> Object:
        amount = _amount(given)
        customer = self._customer(given.get("customer"))
        _method(given.get("payment_method"))
        if given.get("off_session") == "true" and given.get("confirm") != "true":
            raise invalid("off_session needs confirm")
        intent = self._new(
            "payment_intent",
            "pi",
            amount=amount,
            currency=given["currency"],
            customer=customer["id"],
            metadata=given.get("metadata", {}),
            status="requires_confirmation",
            payment_method=given["payment_method"],
            last_payment_error=None,
            next_action=None,
            latest_charge=None,
            cancellation_reason=None,
        )
        self.intents[intent["id"]] = intent
        if given.get("confirm") == "true":
            self._confirm(intent, given)
        return intent

    def confirm_intent(self, reference: str, given: Object) -> Object:
        intent = self.intent(reference)
        if intent["status"] not in {"requires_confirmation", "requires_payment_method"}:
            raise invalid("it cannot be confirmed", "payment_intent_unexpected_state")
        intent["payment_method"] = given.get("payment_method", intent["payment_method"])
        intent["last_payment_error"] = None
        _method(intent["payment_method"])
        self._confirm(intent, given)
        return intent

    def intent(self, reference: str) -> Object:
        if (found := self.intents.get(reference)) is None:
            raise invalid(f"No such payment_intent: '{reference}'", "resource_missing")
        return found

    def create_refund(self, given: Object) -> Object:
        intent = self.intent(given.get("payment_intent", ""))
        amount = _amount(given)
        charge = self.charges.get(intent["latest_charge"] or "")
        if intent["status"] != "succeeded" or charge is None:
            raise invalid("there is no successful charge to refund")
        if amount > charge["amount"] - charge["amount_refunded"]:
            raise invalid("Refund amount is greater than unrefunded amount on charge")
        refund = self._new(
            "refund",
            "re",
            amount=amount,
            currency=charge["currency"],
            payment_intent=intent["id"],
            charge=charge["id"],
            status="succeeded",
            metadata=given.get("metadata", {}),
        )
        self.refunds[refund["id"]] = refund
        charge["amount_refunded"] += amount
        self._tell("charge.refunded", charge)
        return refund

    def refunds_of(self, intent: str | None) -> list[Object]:
        return [each for each in self.refunds.values() if each["payment_intent"] == intent]

    def search(self, objects: Iterable[Object], query: str) -> list[Object]:
        """Those with the metadata of the query; new ones are not found before the lag is over."""
        if (match := QUERY.fullmatch(query)) is None:
            raise invalid("the query is not understood")
        name, value = match[1], re.sub(r"\\(.)", r"\1", match[2])
        known = int((self._now() - self.search_lag).timestamp())
        return [
            each
            for each in objects
            if each["metadata"].get(name) == value and each["created"] <= known
        ]

    def expanded(self, answer: Object) -> Object:
        """An intent with its charge in place of the charge's id."""
        charge = self.charges.get(answer.get("latest_charge") or "")
        return answer if charge is None else {**answer, "latest_charge": charge}

    # -- what others do --------------------------------------------------------------------------

    def settle(self) -> None:
        """The banks have decided on every payment that is processed."""
        for intent in self.intents.values():
            if intent["status"] == "processing":
                self._end(intent, METHODS[intent["payment_method"]])

    def authenticate(self, reference: str) -> None:
        """The customer follows the link and confirms."""
        intent = self.intent(reference)
        if intent["status"] != "requires_action":
            raise invalid("it needs nobody")
        intent["next_action"] = None
        self._end(intent, METHODS[intent["payment_method"]])

    def dispute(self, reference: str) -> None:
        """The customer's bank takes the payment back."""
        intent = self.intent(reference)
        dispute = self._new(
            "dispute",
            "du",
            amount=intent["amount"],
            currency=intent["currency"],
            payment_intent=reference,
            charge=intent["latest_charge"],
            status="needs_response",
            reason="fraudulent",
            metadata={},
        )
        self._tell("charge.dispute.created", dispute)

    def tell_unknown(self) -> None:
        """Something happens that no adapter for payments knows."""
        self._tell("payout.paid", self._new("payout", "po", amount=1, currency="eur"))

    # -- inside ----------------------------------------------------------------------------------

    def _confirm(self, intent: Object, given: Mapping[str, Any]) -> None:
        name = intent["payment_method"]
        method = _method(name)
        if method.needs_customer and given.get("off_session") == "true":
            code = "authentication_required"
            self._fail(intent, Method(code=code, decline_code=code))
        elif method.needs_customer:
            if "return_url" not in given:
                raise invalid("return_url is missing")
            url = f"https://hooks.stripe.com/redirect/authenticate/{intent['id']}"
            intent["status"] = "requires_action"
            intent["next_action"] = {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": url, "return_url": given["return_url"]},
            }
            self._tell("payment_intent.requires_action", intent)
        elif method.delayed:
            intent["status"] = "processing"
            self._tell("payment_intent.processing", intent)
        else:
            self._end(intent, method)
        if (error := intent["last_payment_error"]) is not None:
            raise Refused(402, {**error, "payment_intent": copy.deepcopy(intent)}, kept=True)

    def _end(self, intent: Object, method: Method) -> None:
        charge = self._new(
            "charge",
            "ch",
            amount=intent["amount"],
            amount_refunded=0,
            currency=intent["currency"],
            payment_intent=intent["id"],
            payment_method=intent["payment_method"],
            metadata=dict(intent["metadata"]),
            status="succeeded" if method.code is None else "failed",
        )
        self.charges[charge["id"]] = charge
        intent["latest_charge"] = charge["id"]
        if method.code is not None:
            self._fail(intent, method)
            return
        intent["status"] = "succeeded"
        self._tell("charge.succeeded", charge)
        self._tell("payment_intent.succeeded", intent)
        if method.disputed:
            self.dispute(intent["id"])

    def _fail(self, intent: Object, method: Method) -> None:
        intent["status"] = "requires_payment_method"
        intent["last_payment_error"] = _declined(method, intent["payment_method"]).error
        intent["payment_method"] = None
        self._tell("payment_intent.payment_failed", intent)

    def _customer(self, reference: str | None) -> Object:
        if (found := self.customers.get(reference or "")) is None:
            raise invalid(f"No such customer: '{reference}'", "resource_missing")
        return found

    def _new(self, kind: str, prefix: str, **fields: Any) -> Object:
        created = int(self._now().timestamp())
        number = next(self._numbers)
        return {"id": f"{prefix}_{number:06}", "object": kind, "created": created, **fields}

    def _tell(self, type_: str, content: Object) -> None:
        event = self._new("event", "evt", type=type_, data={"object": copy.deepcopy(content)})
        self.events.append(event)


def _amount(given: Mapping[str, Any]) -> int:
    text = str(given.get("amount", ""))
    if not text.isdecimal() or int(text) == 0:
        raise invalid("the amount must be a whole number above 0", "parameter_invalid_integer")
    return int(text)


def _method(name: str | None) -> Method:
    if (found := METHODS.get(name or "")) is None:
        raise invalid(f"No such PaymentMethod: '{name}'", "resource_missing")
    return found


def _declined(method: Method, name: str) -> Refused:
    error = {
        "type": "card_error",
        "code": method.code,
        "decline_code": method.decline_code,
        "message": "Your card was declined.",
        "payment_method": {"id": name, "object": "payment_method"},
    }
    return Refused(402, error, kept=True)
