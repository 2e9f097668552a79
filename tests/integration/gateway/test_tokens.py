"""JWTs of one issuer, with a real JWKS server behind them."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nats.aio.client import Client

from services.gateway.credentials import jwts
from services.gateway.credentials.access import Access
from services.gateway.credentials.caller import Unauthorized, Undecided
from services.gateway.credentials.jwts import KeySet, Tokens
from services.gateway.routes import players
from shared.messages import subjects
from tests.integration.gateway.answering import answering
from tests.integration.gateway.issuing import IssuingServer, issuing

Http = TestClient[Request, Application]
MakeGatewayWith = Callable[[Client, Access], Awaitable[Http]]

PLAYER = f"/api/players/{uuid4()}"
LONG_AGO = 1_000_000_000


class Ticking:
    """Machine time that a test moves."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def base64url(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


@pytest.fixture
async def issuer() -> AsyncIterator[IssuingServer]:
    async with issuing() as made:
        yield made


@pytest.fixture
async def tokened(
    nats_client: Client, make_gateway_with: MakeGatewayWith, issuer: IssuingServer
) -> Http:
    """A gateway that takes the issuer's tokens."""
    return await make_gateway_with(nats_client, Access(issuer=issuer.issuer))


async def answer_to(http: Http, token: str, path: str = PLAYER) -> tuple[int, str | None]:
    async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
        body: dict[str, Any] = await answer.json()
        assert (answer.status == 401) == ("WWW-Authenticate" in answer.headers)
        return answer.status, body.get("code")


@pytest.mark.rule("http-tokens", "http-actor")
@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
async def test_a_token_lets_in_with_its_scopes_as_its_subject(
    tokened: Http, nats_client: Client, issuer: IssuingServer, kid: str, algorithm: str
) -> None:
    token = issuer.token(kid, algorithm)
    async with answering(nats_client, "player", players.TABLE) as player:
        assert await answer_to(tokened, token) == (200, None)
    [asked] = player.asked
    assert asked.headers[subjects.ACTOR] == "jwt:user-1"
    assert await answer_to(tokened, token, "/api/customers/one") == (403, "forbidden")
    assert issuer.asked == 1


@pytest.mark.rule("http-tokens")
@pytest.mark.parametrize(
    "claims",
    [
        {"exp": LONG_AGO},
        {"exp": None},
        {"nbf": 9_999_999_999},
        {"iat": 9_999_999_999},
        {"iss": "https://another.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": "two words"},
        {"sub": ""},
        {"scope": ["players:read"]},
        {"exp": "soon"},
        {"exp": float("inf")},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_lets_nobody_in(
    tokened: Http, issuer: IssuingServer, claims: dict[str, Any]
) -> None:
    payload = claims_of(issuer.token()) | claims
    kept = {name: value for name, value in payload.items() if value is not None}
    # PyJWT itself refuses to make some of them.
    body = jwt.api_jws.encode(
        json.dumps(kept).encode(), issuer.private["rsa"], "RS256", headers={"kid": "rsa"}
    )
    assert await answer_to(tokened, body) == (401, "unauthorized")


@pytest.mark.rule("http-tokens")
async def test_a_token_without_scope_is_known_and_may_do_nothing(
    tokened: Http, issuer: IssuingServer
) -> None:
    assert await answer_to(tokened, issuer.token(scope=None)) == (403, "forbidden")


@pytest.mark.rule("http-tokens")
async def test_clocks_may_differ_by_the_leeway(issuer: IssuingServer) -> None:
    tokens = Tokens(issuer.issuer, KeySet(issuer.url))
    now = int(time.time())  # noqa: TID251 - tokens are of the wall clock
    half = int(jwts.LEEWAY_SECONDS / 2)
    near = issuer.token(exp=now - half, nbf=now + half, iat=now + half)
    assert (await tokens.identify(near)).actor == "jwt:user-1"
    with pytest.raises(Unauthorized, match="expired"):
        await tokens.identify(issuer.token(exp=now - 3 * half))


@pytest.mark.rule("http-tokens")
async def test_only_the_keys_own_algorithm_counts(tokened: Http, issuer: IssuingServer) -> None:
    claims = claims_of(issuer.token())
    pem = (
        issuer.private["rsa"]
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    # PyJWT refuses to sign with a public key, hence by hand.
    signed = ".".join(
        base64url(json.dumps(part).encode())
        for part in ({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, claims)
    )
    confused = f"{signed}.{base64url(hmac.digest(pem, signed.encode(), 'sha256'))}"
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "rsa"})
    other_key = jwt.encode(
        claims, issuer.private["next"], algorithm="RS256", headers={"kid": "rsa"}
    )
    other_kind = jwt.encode(claims, issuer.private["ec"], algorithm="ES256", headers={"kid": "rsa"})
    longer = jwt.encode(claims, issuer.private["rsa"], algorithm="RS512", headers={"kid": "rsa"})
    nameless = jwt.encode(claims, issuer.private["rsa"], algorithm="RS256")
    for token in (confused, unsigned, other_key, other_kind, longer, nameless, "a.b.c", "é.b.c"):
        assert await answer_to(tokened, token) == (401, "unauthorized")


@pytest.mark.rule("http-tokens")
async def test_keys_turn_over_and_unknown_ones_do_not_hammer_the_issuer(
    issuer: IssuingServer,
) -> None:
    now = Ticking()
    tokens = Tokens(issuer.issuer, KeySet(issuer.url, now))
    await tokens.identify(issuer.token())
    issuer.shown = {"next"}
    for _ in range(50):
        with pytest.raises(Unauthorized):
            await tokens.identify(issuer.token("next"))
    assert issuer.asked == 1

    now.seconds += jwts.BETWEEN_SECONDS
    assert (await tokens.identify(issuer.token("next"))).actor == "jwt:user-1"
    assert issuer.asked == 2
    with pytest.raises(Unauthorized):
        await tokens.identify(issuer.token("rsa"))
    assert issuer.asked == 2


@pytest.mark.rule("http-tokens")
async def test_a_key_that_the_issuer_took_away_is_not_trusted_for_long(
    issuer: IssuingServer,
) -> None:
    now = Ticking()
    tokens = Tokens(issuer.issuer, KeySet(issuer.url, now))
    token = issuer.token()
    await tokens.identify(token)
    issuer.shown = {"ec"}
    now.seconds += jwts.FRESH_SECONDS + 1
    with pytest.raises(Unauthorized):
        await tokens.identify(token)


@pytest.mark.rule("http-tokens")
async def test_known_keys_outlast_the_issuers_outage_for_an_hour(issuer: IssuingServer) -> None:
    now = Ticking()
    tokens = Tokens(issuer.issuer, KeySet(issuer.url, now))
    token = issuer.token()
    await tokens.identify(token)
    issuer.broken = True
    now.seconds += jwts.FRESH_SECONDS + 1
    assert (await tokens.identify(token)).actor == "jwt:user-1"
    with pytest.raises(Undecided):
        await tokens.identify(issuer.token("next"))
    now.seconds += jwts.STALE_SECONDS
    with pytest.raises(Undecided):
        await tokens.identify(token)
    # A look each, for a second token within ten seconds none.
    assert issuer.asked == 3


@pytest.mark.rule("http-tokens")
async def test_an_issuer_that_is_away_is_503_for_tokens_alone(
    tokened: Http, nats_client: Client, issuer: IssuingServer
) -> None:
    issuer.broken = True
    async with tokened.get(PLAYER, headers={"Authorization": f"Bearer {issuer.token()}"}) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
    async with answering(nats_client, "player", players.TABLE):
        assert (await tokened.get(PLAYER)).status == 200


@pytest.mark.rule("http-tokens")
@pytest.mark.parametrize(
    "body", ["[]", '{"keys": 1}', "{", '{"keys": [{"kid": "rsa"}]}', " " * 300_000]
)
async def test_an_issuer_that_shows_no_keys_lets_nobody_in(
    tokened: Http, issuer: IssuingServer, body: str
) -> None:
    issuer.body = body
    status, _ = await answer_to(tokened, issuer.token())
    # Where it can be read, it says that there is no such key; else nobody knows.
    assert status == (401 if "kid" in body else 503)
