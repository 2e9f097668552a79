"""An issuer of tokens, with a JWKS server that a test may stop or have answer anything."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from services.gateway.credentials.jwts import Issuer

NAME = "https://issuer.example"
AUDIENCE = "padawanforge"
ALGORITHMS: dict[str, Any] = {
    "rsa": RSAAlgorithm,
    "next": RSAAlgorithm,
    "ec": ECAlgorithm,
    "ed": OKPAlgorithm,
}


class IssuingServer:
    """Signs tokens; counts how often its keys were asked for."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "next": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.shown = {"rsa", "ec", "ed"}
        self.asked = 0
        self.broken = False
        self.body: str | None = None
        self.url = ""

    @property
    def issuer(self) -> Issuer:
        return Issuer(NAME, AUDIENCE, self.url)

    def public(self, kid: str) -> dict[str, Any]:
        """A key as the JWKS has it."""
        key = self.private[kid].public_key()
        return {**ALGORITHMS[kid].to_jwk(key, as_dict=True), "kid": kid, "use": "sig"}

    async def answer(self, _request: web.Request) -> web.Response:
        """The JWKS, or what a test wants instead."""
        self.asked += 1
        if self.broken:
            return web.Response(status=500)
        if self.body is not None:
            return web.Response(text=self.body, content_type="application/json")
        return web.json_response({"keys": [self.public(kid) for kid in sorted(self.shown)]})

    def token(self, kid: str = "rsa", algorithm: str = "RS256", **claims: Any) -> str:
        """A token that is good but for what `claims` change; None leaves a claim out."""
        now = int(time.time())  # noqa: TID251 - tokens are of the wall clock
        made = {
            "iss": NAME,
            "aud": AUDIENCE,
            "sub": "user-1",
            "scope": "players:read player:read",
            "iat": now,
            "exp": now + 300,
            **claims,
        }
        kept = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(kept, self.private[kid], algorithm=algorithm, headers={"kid": kid})


@asynccontextmanager
async def issuing() -> AsyncGenerator[IssuingServer]:
    """One that answers."""
    made = IssuingServer()
    app = web.Application()
    app.router.add_get("/jwks.json", made.answer)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/jwks.json"))
        yield made
