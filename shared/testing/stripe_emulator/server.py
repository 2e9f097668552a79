"""The emulator over HTTP: forms, keys, idempotency, webhooks; and answers that get lost."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl

import stripe
from aiohttp import web

from shared.testing.stripe_emulator.account import Account, Object, Refused, invalid

KEY_LIFE = timedelta(days=1)
"""How long Stripe promises to answer for an idempotency key."""


class StripeEmulator:
    """A server on a free port of this machine.

    `losing` has the next charge lost on its way there or back; while `gate` is not set, charges
    that have arrived wait.
    """

    def __init__(self, now: Callable[[], datetime], *, api_key: str, webhook_secret: str):
        self.account = Account(now)
        self.losing: Literal["request", "answer"] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Semaphore(0)
        self.url = ""
        self._now = now
        self._api_key = api_key
        self._webhook_secret = webhook_secret
        self._answers: dict[str, tuple[datetime, Object, int, Object]] = {}
        self._in_progress: set[str] = set()
        self._told = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listens."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Closes every connection and listens no more."""
        self.gate.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def webhooks(self) -> list[tuple[bytes, dict[str, str]]]:
        """What has happened since the last call, signed now by the SDK's own code."""
        events = self.account.events[self._told :]
        self._told += len(events)
        return [self._signed(event) for event in events]

    def _signed(self, event: Object) -> tuple[bytes, dict[str, str]]:
        body = json.dumps(event)
        seconds = int(self._now().timestamp())
        header = stripe.WebhookSignature.generate_signature_header(
            body, self._webhook_secret, seconds
        )
        return body.encode(), {"Stripe-Signature": header}

    async def _answer(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        given = _form(body) if request.method == "POST" else _form(request.query_string)
        charging = (request.method, request.path) == ("POST", "/v1/payment_intents")
        losing = self.losing if charging else None
        if charging:
            self.losing = None
        if losing == "request":
            return _cut_off(request)
        try:
            self._authorize(request)
            answer, status = await self._once(request, given, charging=charging), 200
        except Refused as refused:
            answer, status = {"error": refused.error}, refused.status
        if losing == "answer":
            return _cut_off(request)
        return web.json_response(answer, status=status, headers={"Request-Id": "req_emulated"})

    def _authorize(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self._api_key}":
            error = {"type": "invalid_request_error", "message": "Invalid API Key provided"}
            raise Refused(401, error)

    async def _once(self, request: web.Request, given: Object, *, charging: bool) -> Object:
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is None:
            return self._carry_out(request, given)
        asked = {"path": request.path, **given}
        self._forget()
        if key in self._in_progress:
            code = "idempotency_key_in_use"
            raise Refused(409, {"type": "idempotency_error", "code": code, "message": "in use"})
        if (known := self._answers.get(key)) is not None:
            _, known_asked, status, answer = known
            if known_asked != asked:
                message = "Keys for idempotent requests can only be used with the same parameters"
                raise Refused(400, {"type": "idempotency_error", "message": message})
            if status != 200:
                raise Refused(status, answer)
            return answer
        self._in_progress.add(key)
        try:
            if charging:
                self.arrived.release()
                await self.gate.wait()
            answer = copy.deepcopy(self._carry_out(request, given))
        except Refused as refused:
            if refused.kept:
                self._answers[key] = (self._now(), asked, refused.status, refused.error)
            raise
        finally:
            self._in_progress.discard(key)
        self._answers[key] = (self._now(), asked, 200, answer)
        return answer

    def _forget(self) -> None:
        oldest = self._now() - KEY_LIFE
        self._answers = {key: kept for key, kept in self._answers.items() if kept[0] > oldest}

    def _carry_out(self, request: web.Request, given: Object) -> Object:
        account, expand = self.account, set(given.pop("expand", {}).values())
        match (request.method, request.path.removeprefix("/v1/").split("/")):
            case "POST", ["customers"]:
                return account.create_customer(given)
            case "POST" | "DELETE" as method, ["customers", reference]:
                change = account.delete_customer if method == "DELETE" else account.update_customer
                return change(reference, given)
            case "GET", ["customers", "search"]:
                return _page(account.search(account.customers.values(), given["query"]))
            case "POST", ["payment_methods", method, "attach"]:
                return account.attach(method, given)
            case "POST", ["payment_intents"]:
                answer = account.create_intent(given)
            case "POST", ["payment_intents", reference, "confirm"]:
                answer = account.confirm_intent(reference, given)
            case "GET", ["payment_intents", "search"]:
                found = account.search(account.intents.values(), given["query"])
                if "data.latest_charge" in expand:
                    found = [account.expanded(each) for each in found]
                return _page(found)
            case "GET", ["payment_intents", reference]:
                answer = account.intent(reference)
            case "POST", ["refunds"]:
                return account.create_refund(given)
            case "GET", ["refunds"]:
                return _page(account.refunds_of(given.get("payment_intent")))
            case _:
                raise invalid(f"Unrecognized request URL ({request.method}: {request.path})")
        return account.expanded(answer) if "latest_charge" in expand else answer


def _cut_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _page(found: list[Object]) -> Object:
    return {"object": "list", "data": found, "has_more": False, "url": "/v1"}


def _form(text: str) -> Object:
    """A form with names such as `metadata[a]` and `expand[0]`, nested."""
    form: Object = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+", name)
        place: Any = form
        for part in (first, *rest)[:-1]:
            place = place.setdefault(part, {})
        place[(first, *rest)[-1]] = value
    return form
