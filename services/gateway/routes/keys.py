"""`/api/keys`: who is let in."""

from __future__ import annotations

from uuid import uuid5

from aiohttp import web

from services.gateway.credentials.keys import ID_LENGTH, new_key
from services.gateway.middleware import CALLER
from services.gateway.routes.forwarding import NAMESPACE, Forward
from services.gateway.routes.reading import idempotency_key, read_object
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.decoding import convert
from shared.messages.maintenance import SERVICE, AllApiKeys, ApiKey, CreateApiKey, RevokeApiKey
from shared.messages.maintenance.keys import KeyName, RatePerSecond, Scopes
from shared.messages.problems import Refused

ALL = "/api/keys"

TABLE = (
    Forward("GET", ALL, subjects.query(SERVICE, "api_keys"), AllApiKeys),
    Forward("DELETE", f"{ALL}/{{id}}", subjects.command(SERVICE, "revoke_api_key"), RevokeApiKey),
)


class NewApiKey(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body that asks for a key."""

    name: KeyName
    scopes: Scopes
    rate_per_second: RatePerSecond | None = None


class CreatedApiKey(Message, frozen=True, kw_only=True):
    """The key with its secret, which nothing shows again."""

    key: str
    """To be sent as `Authorization: Bearer …`."""
    api_key: ApiKey


class KeyRoutes:
    """Makes keys: the secret is made here and goes to the caller alone."""

    def __init__(self, requests: Requests):
        self._requests = requests

    def table(self) -> list[web.RouteDef]:
        """The address."""
        return [web.post(ALL, self.create)]

    async def create(self, request: web.Request) -> web.Response:
        """201 with the secret. A repeated Idempotency-Key makes no second key: 409."""
        wanted = convert(await read_object(request), NewApiKey)
        caller, key = request[CALLER], idempotency_key(request)
        beyond = [scope for scope in wanted.scopes if not caller.may(scope)]
        if beyond:
            raise Refused(
                "forbidden",
                f"who makes a key needs what the key may do: {', '.join(beyond)} is missing",
                status=403,
                field="scopes",
            )
        made = new_key(None if key is None else _id_of(f"{caller.actor}/{key}"))
        command = CreateApiKey(
            id=made.id,
            name=wanted.name,
            secret_sha256=made.secret_sha256,
            scopes=wanted.scopes,
            rate_per_second=wanted.rate_per_second,
        )
        created = await self._requests.request(
            subjects.command(SERVICE, "create_api_key"),
            command,
            ApiKey,
            {subjects.ACTOR: caller.actor},
        )
        return web.Response(
            body=encode(CreatedApiKey(key=made.token, api_key=created)),
            status=201,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )


def _id_of(place: str) -> str:
    return uuid5(NAMESPACE, f"api_key/{place}").hex[:ID_LENGTH]
