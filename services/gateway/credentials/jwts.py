"""Tokens (JWT) of an issuer whose public keys are read from its JWKS."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import jwt
import msgspec
import structlog

from services.gateway.credentials.caller import Caller, Unauthorized, Undecided
from shared.jetstream.patience import Together

log = structlog.get_logger()

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Of public keys alone: with HS256 the issuer's public key would be the secret."""
LEEWAY_SECONDS = 30.0
FRESH_SECONDS = 300.0
"""After so long the keys are read again: one that the issuer took away is trusted no longer."""
STALE_SECONDS = 3600.0
"""So long they are trusted while they cannot be read again."""
BETWEEN_SECONDS = 10.0
"""No reading sooner after another, whatever tokens are sent."""
FETCH_SECONDS = 3.0
MAX_JWKS_BYTES = 256 * 1024
SUBJECT_PATTERN = re.compile(r"[\x21-\x7e]{1,200}")
"""What a header of NATS and a line of the log carry as it is."""


@dataclass(frozen=True)
class Issuer:
    """Whose tokens are taken."""

    name: str
    audience: str
    jwks_url: str


class KeySet:
    """The issuer's public keys by `kid`."""

    def __init__(self, url: str, now_seconds: Callable[[], float] = monotonic):
        self._url = url
        self._now_seconds = now_seconds
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._refresh = Together(self._fetch)

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """None where the issuer has no such key. Raises Undecided while that is not known."""
        if key_id not in self._keys or self._age() > FRESH_SECONDS:
            await self._refresh_at_times()
        found = self._keys.get(key_id)
        failed = self._read_at is None or self._tried_at != self._read_at
        if self._age() > STALE_SECONDS or (found is None and failed):
            raise Undecided("the keys of the tokens' issuer cannot be read now: try again")
        return found

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._now_seconds() - self._read_at

    async def _refresh_at_times(self) -> None:
        now = self._now_seconds()
        waiting = self._tried_at is not None and now - self._tried_at < BETWEEN_SECONDS
        if not waiting or self._refresh.running:
            await self._refresh()

    async def _fetch(self) -> None:
        tried_at = self._tried_at = self._now_seconds()
        try:
            self._keys = _usable(await self._get())
        except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
            log.warning("jwks_not_read", reason=f"{type(error).__name__}: {error}")
            return
        self._read_at = tried_at

    async def _get(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"it answered {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_JWKS_BYTES:
                    raise ValueError(f"it has more than {MAX_JWKS_BYTES} bytes")
            return bytes(body)


class _Jwks(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable(body: bytes) -> dict[str, jwt.PyJWK]:
    found: dict[str, jwt.PyJWK] = {}
    for each in msgspec.json.decode(body, type=_Jwks).keys:
        if each.get("use", "sig") != "sig" or not isinstance(each.get("kid"), str):
            continue
        try:
            key = jwt.PyJWK(each)
        except jwt.PyJWTError:
            # Of a kind that nobody here understands, beside those that are.
            continue
        if key.algorithm_name in ALGORITHMS:
            found[each["kid"]] = key
    return found


class Tokens:
    """Lets in who sends a token of the issuer."""

    def __init__(self, issuer: Issuer, keys: KeySet):
        self._issuer = issuer
        self._keys = keys

    async def identify(self, token: str) -> Caller:
        """Raises Unauthorized, and Undecided while the issuer's keys are not known."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthorized from error
        key_id = header.get("kid")
        if header.get("alg") not in ALGORITHMS or not isinstance(key_id, str):
            raise Unauthorized(
                f"a token is signed by {', '.join(ALGORITHMS)} and names its key as `kid`"
            )
        key = await self._keys.find(key_id)
        if key is None:
            raise Unauthorized("the token is signed by a key that its issuer does not have")
        return _caller(self._claims(token, key))

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                # That of the key, and no other that the token may name.
                algorithms=[key.algorithm_name],
                audience=self._issuer.audience,
                issuer=self._issuer.name,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token has expired") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unauthorized("the token is not valid here") from error


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject, scope = claims["sub"], claims.get("scope", "")
    if not isinstance(subject, str) or not SUBJECT_PATTERN.fullmatch(subject):
        raise Unauthorized("the token's `sub` has 1 to 200 printable ASCII characters, no space")
    if not isinstance(scope, str):
        raise Unauthorized("the token's `scope` is a text, with a space between two scopes")
    return Caller(f"jwt:{subject}", frozenset(scope.split()))
