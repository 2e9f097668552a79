"""Who is let in, put together from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from services.gateway.config import (
    BODY_SECONDS,
    MAX_WAITING_STARTS,
    RATE_PER_SECOND,
    GatewaySettings,
)
from services.gateway.credentials.caller import Caller, Unauthorized
from services.gateway.credentials.jwts import Issuer, KeySet, Tokens
from services.gateway.credentials.keys import ApiKeys


@dataclass(frozen=True)
class Access:
    """What the gateway lets in, and how much of it."""

    issuer: Issuer | None = None
    """None: no tokens are taken."""
    rate_per_second: float = RATE_PER_SECOND
    max_waiting_starts: int = MAX_WAITING_STARTS
    body_seconds: float = BODY_SECONDS
    cors_origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: GatewaySettings) -> Access:
        """As the environment has it."""
        name, audience = settings.jwt_issuer, settings.jwt_audience
        url = settings.jwt_jwks_url
        issuer = None
        if name is not None and audience is not None and url is not None:
            issuer = Issuer(name, audience, url)
        return cls(
            issuer=issuer,
            rate_per_second=settings.rate_per_second,
            max_waiting_starts=settings.max_waiting_starts,
            body_seconds=settings.body_seconds,
            cors_origins=frozenset(filter(None, settings.cors_origins.split(","))),
        )


NO_TOKENS = Access()


class Identification:
    """Tells by a request's `Authorization` who sent it."""

    def __init__(self, keys: ApiKeys, issuer: Issuer | None):
        self._keys = keys
        self._tokens = None if issuer is None else Tokens(issuer, KeySet(issuer.jwks_url))

    async def __call__(self, request: web.Request) -> Caller:
        """Raises Unauthorized and Undecided."""
        given = request.headers.getall("Authorization", [])
        if len(given) != 1:
            raise Unauthorized
        scheme, _, token = given[0].partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized
        # Three parts: no key has a dot but, perhaps, the environment's.
        if (
            self._tokens is not None
            and token.count(".") == 2
            and not self._keys.is_bootstrap(token)
        ):
            return await self._tokens.identify(token)
        return await self._keys.identify(token)
