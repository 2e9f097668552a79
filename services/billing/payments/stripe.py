"""Stripe, through its own SDK."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import aiohttp
import msgspec
import stripe

from services.billing.models import Charge, Payment, ProviderCustomer, ProviderEvent, Refund
from services.billing.payments.provider import (
    ANSWER_SECONDS,
    OutcomeUnclear,
    ProviderUnreachable,
    RequestRefused,
    SignatureRefused,
)
from services.billing.payments.signature import check_instant, find_header, instant_of
from services.billing.payments.stripe_http import StripeHttp
from services.billing.payments.stripe_objects import (
    CHARGE_KEY,
    REFUND_KEY,
    Intent,
    amount_of,
    find_refund,
    payment_of,
    read_event,
    read_intent,
)
from shared.runtime.config import Secret

SIGNATURE_HEADER = "Stripe-Signature"
CUSTOMER_ID = "customer_id"
RESOURCE_MISSING = "resource_missing"
"""Stripe's code for what is not there, or not any more."""


class _Declined(msgspec.Struct, frozen=True):
    payment_intent: Intent


class _CardError(msgspec.Struct, frozen=True):
    error: _Declined


class StripeProvider:
    """See PaymentProvider. `close` it at the end.

    A payment is one PaymentIntent, confirmed off session in the same request under the charge's key
    as its idempotency key. Where the bank wants the customer, it is confirmed again as if they were
    there: that gives the link at which they are.

    `find` searches by the key in the metadata, since the port knows no customer to list by. A
    search lags by a minute, in an outage of Stripe's by an hour; an idempotency key answers for at
    least a day. So whoever sends a charge again after the search found nothing is within that day
    answered as the first time, and after it the search has long caught up. Sending again alone
    would be no look-up: a key that Stripe has forgotten charges anew.
    """

    name = "stripe"

    def __init__(
        self,
        api_key: Secret,
        webhook_secret: Secret,
        *,
        return_url: str,
        base_url: str = stripe.DEFAULT_API_BASE,
        timeout_seconds: float = ANSWER_SECONDS,
    ):
        # Its debug lines hold what is posted, mail addresses included.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._webhook_secret = webhook_secret
        self._return_url = return_url
        self._http = StripeHttp(timeout_seconds=timeout_seconds)
        self._api = stripe.StripeClient(
            api_key.reveal(),
            base_addresses={"api": base_url},
            # Sending again is the saga's decision, after a look-up.
            max_network_retries=0,
            http_client=self._http,
        ).v1

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close_async()

    async def save_customer(self, customer: ProviderCustomer) -> str:
        """See PaymentProvider. Only a payment method that is attached is charged off session."""
        with _translated():
            reference = customer.reference or await self._find_or_create(customer)
            await self._api.customers.update_async(
                reference,
                {"email": customer.email or "", "metadata": {"timezone": customer.timezone}},
            )
            if customer.payment_method is not None:
                await self._attach(customer.payment_method, reference)
        return reference

    async def forget_customer(self, customer_id: UUID, reference: str | None) -> None:
        """See PaymentProvider. A search for one without a reference lags by a minute."""
        with _translated():
            known = reference or await self._find(customer_id)
            if known is None:
                return
            try:
                await self._api.customers.delete_async(known)
            except stripe.InvalidRequestError as error:
                if error.code != RESOURCE_MISSING:
                    raise

    async def charge(self, charge: Charge) -> Payment:
        """See PaymentProvider."""
        intent = await _answered(
            self._api.payment_intents.create_async(
                {
                    "amount": amount_of(charge.money),
                    "currency": charge.money.currency.lower(),
                    "customer": charge.customer_reference,
                    "payment_method": charge.payment_method,
                    "metadata": {**charge.metadata, CHARGE_KEY: charge.key},
                    "confirm": True,
                    "off_session": True,
                    "return_url": self._return_url,
                    "expand": ["latest_charge"],
                },
                {"idempotency_key": charge.key},
            )
        )
        if intent.needs_customer:
            try:
                intent = await _answered(
                    self._api.payment_intents.confirm_async(
                        intent.id,
                        {
                            "payment_method": charge.payment_method,
                            "return_url": self._return_url,
                            "expand": ["latest_charge"],
                        },
                        {"idempotency_key": f"{charge.key}-confirm"},
                    )
                )
            except ProviderUnreachable as error:
                # The payment is there, under its key: only its confirmation was not sent.
                raise OutcomeUnclear(str(error)) from error
        return payment_of(intent)

    async def find(self, key: str) -> Payment | None:
        """See PaymentProvider, and this class for why it is a search. Of several payments under one
        key, which only a charge sent after a day leaves behind, the one that took money counts.
        """
        with _translated():
            found = await self._api.payment_intents.search_async(
                {
                    "query": _metadata_query(CHARGE_KEY, key),
                    "limit": 100,
                    "expand": ["data.latest_charge"],
                }
            )
            intents = [read_intent(each.to_dict()) for each in found.data]
        counting = max(intents, key=lambda intent: intent.settledness, default=None)
        return None if counting is None else payment_of(counting)

    async def refund(self, refund: Refund) -> Payment:
        """See PaymentProvider. Refunds made are listed first: their list, unlike a search, never
        lags, and unlike an idempotency key it is never forgotten.
        """
        payment = await self._retrieve(refund.provider_reference)
        if payment.key != refund.charge_key or payment.money.currency != refund.money.currency:
            raise RequestRefused(f"{refund.provider_reference} is not the payment to refund")
        amount = amount_of(refund.money)
        with _translated():
            made = await self._api.refunds.list_async(
                {"payment_intent": refund.provider_reference, "limit": 100}
            )
            same = find_refund([each.to_dict() for each in made.data], refund.key)
            if same is not None and same.amount != amount:
                raise RequestRefused(f"the key {refund.key} stands for another refund")
            if same is not None and same.status in {"failed", "canceled"}:
                raise RequestRefused(f"the refund {same.id} has {same.status}: pay it back by hand")
            if same is None:
                await self._api.refunds.create_async(
                    {
                        "payment_intent": refund.provider_reference,
                        "amount": amount,
                        "metadata": {CHARGE_KEY: refund.charge_key, REFUND_KEY: refund.key},
                    },
                    {"idempotency_key": refund.key},
                )
        return await self._retrieve(refund.provider_reference)

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderEvent:
        """See PaymentProvider. A chargeback's payment has no key: Stripe tells its reference alone.

        The SDK checks the signature; its own look at the age would read the machine's clock.
        """
        header = find_header(headers, SIGNATURE_HEADER)
        check_instant(instant_of(header), now)
        try:
            stripe.WebhookSignature.verify_header(body, header, self._webhook_secret.reveal())
            return read_event(body)
        except stripe.SignatureVerificationError as error:
            raise SignatureRefused("the signature is not that of this body") from error
        except (TypeError, ValueError) as error:
            # Bytes that are no text, a signature that is no ASCII, a body that is no event.
            raise SignatureRefused("the webhook is damaged") from error

    async def _find_or_create(self, customer: ProviderCustomer) -> str:
        known = await self._find(customer.customer_id)
        if known is not None:
            return known
        ours = str(customer.customer_id)
        # What may change comes with the update, so that the key always stands for one request.
        created = await self._api.customers.create_async(
            {"metadata": {CUSTOMER_ID: ours}}, {"idempotency_key": f"customer-{ours}"}
        )
        return created.id

    async def _find(self, customer_id: UUID) -> str | None:
        found = await self._api.customers.search_async(
            {"query": _metadata_query(CUSTOMER_ID, str(customer_id)), "limit": 1}
        )
        return found.data[0].id if found.data else None

    async def _attach(self, payment_method: str, reference: str) -> None:
        try:
            await self._api.payment_methods.attach_async(payment_method, {"customer": reference})
        except stripe.CardError:
            # The bank declines the card already now. The next charge is told so, and is the one
            # that dunning counts.
            return

    async def _retrieve(self, reference: str) -> Payment:
        with _translated():
            found = await self._api.payment_intents.retrieve_async(
                reference, {"expand": ["latest_charge"]}
            )
            return payment_of(read_intent(found.to_dict()))


async def _answered(request: Awaitable[stripe.PaymentIntent]) -> Intent:
    """The intent that an answer tells of; a decline is an answer."""
    with _translated():
        try:
            return read_intent((await request).to_dict())
        except stripe.CardError as error:
            return msgspec.convert(error.json_body, _CardError).error.payment_intent


@contextmanager
def _translated() -> Generator[None]:
    """Turns the SDK's errors into the port's. Stripe's own words stay with Stripe, under the
    request's id: they repeat what was sent, mail addresses too."""
    try:
        yield
    except (stripe.IdempotencyError, stripe.InvalidRequestError, stripe.CardError) as error:
        said = [error.code, getattr(error, "param", None), error.request_id]
        told = ", ".join(str(each) for each in said if each is not None)
        raise RequestRefused(f"Stripe: {type(error).__name__} ({told})") from error
    except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as error:
        raise ProviderUnreachable(f"Stripe: {type(error).__name__}") from error
    except stripe.APIConnectionError as error:
        # These come before a byte was sent.
        if isinstance(
            error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        ):
            raise ProviderUnreachable(f"Stripe: {type(error.__cause__).__name__}") from error
        raise OutcomeUnclear(f"Stripe: {type(error.__cause__).__name__}") from error
    except stripe.StripeError as error:
        # 409 while the first request goes on, 5xx, or no JSON.
        raise OutcomeUnclear(f"Stripe: {type(error).__name__}") from error
    except msgspec.ValidationError as error:
        raise OutcomeUnclear(f"Stripe: an answer that does not tell ({error})") from error


def _metadata_query(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"metadata['{name}']:'{quoted}'"
