"""`/api/webhooks`: what payment providers tell, passed on as it came."""

from __future__ import annotations

from aiohttp import web

from services.gateway.middleware import WEBHOOKS
from services.gateway.routes.operations import OF_SERVICE, Operation, Parameter
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, Message, encode
from shared.messages.billing import SERVICE, ProviderWebhook, WebhookTaken
from shared.messages.billing.values import ProviderName
from shared.messages.decoding import convert
from shared.messages.problems import Refused

WITHHELD = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Credentials, which no signature needs."""


OPERATIONS = (
    Operation(
        "POST",
        WEBHOOKS,
        "Take what a payment provider tells",
        WebhookTaken,
        200,
        (
            "invalid_message",
            "request_entity_too_large",
            "too_large",
            "provider_not_found",
            "signature_refused",
            *OF_SERVICE,
        ),
        (Parameter("provider", "path", ProviderName),),
        body=bytes,
        is_open=True,
        description="The signature over the raw body is the credential.",
    ),
)


class Named(Message, frozen=True, kw_only=True):
    """The address."""

    provider: ProviderName


class WebhookRoutes:
    """The one address that takes no API key: the service checks the signature."""

    def __init__(self, requests: Requests):
        self._requests = requests

    def table(self) -> list[web.RouteDef]:
        """The address."""
        return [web.post(WEBHOOKS, self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """Answers 200 once the event is kept; any other answer has the provider send it again."""
        provider = convert({"provider": request.match_info["provider"]}, Named).provider
        headers = {name.lower(): value for name, value in request.headers.items()}
        webhook = ProviderWebhook(
            provider=provider,
            # The bytes themselves: the signature is over them.
            body=await request.read(),
            headers={name: value for name, value in headers.items() if name not in WITHHELD},
        )
        body = encode(webhook)
        if len(body) > MAX_CONTENT_BYTES:
            raise Refused(
                "too_large", f"{len(body)} bytes; {MAX_CONTENT_BYTES} are allowed", status=413
            )
        reply = await self._requests.send(
            subjects.command(SERVICE, "provider_webhook"),
            body,
            {subjects.ACTOR: f"webhook:{provider}"},
        )
        return web.Response(body=reply, content_type="application/json")
