"""API keys: how they look, and whom they let in."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import AsyncGenerator, Callable
from hashlib import sha256
from string import ascii_lowercase, digits
from time import monotonic
from typing import NamedTuple

import structlog

from services.gateway.credentials.caller import EVERYTHING, Caller, Unauthorized, Undecided
from shared.jetstream.api_keys import ApiKeyBook, KnownKey
from shared.runtime.config import Secret
from shared.workflow.errors import Transient

log = structlog.get_logger()

PREFIX = "pfk"
PATTERN = re.compile(r"pfk_(?P<id>[a-z0-9]{16})_(?P<secret>[A-Za-z0-9_-]{43})")
SECRET_BYTES = 32
ID_ALPHABET = ascii_lowercase + digits
ID_LENGTH = 16
REFRESH_SECONDS = 0.3
"""So soon a gateway knows of a change: a revoked key is refused within a second."""
NO_LIMIT = 0.0
BOOTSTRAP = "key:bootstrap"
"""The actor of whoever sends the environment's API_KEY."""


class NewKey(NamedTuple):
    """A key that was just made, the only one with its secret."""

    id: str
    token: str
    secret_sha256: str


def new_key(key_id: str | None = None) -> NewKey:
    """A key with a secret of 256 random bits, under this id or a random one."""
    made = key_id or "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return NewKey(made, f"{PREFIX}_{made}_{secret}", _hash(secret))


class ApiKeys:
    """Lets in who sends the environment's key, or one of the bucket."""

    def __init__(
        self, api_key: Secret, book: ApiKeyBook, now_seconds: Callable[[], float] = monotonic
    ):
        self._bootstrap = api_key.reveal().encode()
        self._book = book
        self._now_seconds = now_seconds
        self._asked_at = -REFRESH_SECONDS

    def is_bootstrap(self, token: str) -> bool:
        """Whether it is the environment's key."""
        # Compared in constant time: how much of a guess is right must not show in its duration.
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._bootstrap)

    async def identify(self, token: str) -> Caller:
        """Raises Unauthorized, and Undecided while the keys are not known."""
        if self.is_bootstrap(token):
            return Caller(BOOTSTRAP, frozenset({EVERYTHING}), NO_LIMIT)
        parts = PATTERN.fullmatch(token)
        if parts is None:
            raise Unauthorized
        key = await self._find(parts["id"])
        if key is None or not hmac.compare_digest(key.secret_sha256, _hash(parts["secret"])):
            raise Unauthorized
        return Caller(f"key:{parts['id']}", frozenset(key.scopes), key.rate_per_second)

    async def _find(self, key_id: str) -> KnownKey | None:
        keys = self._book.keys
        if (keys is None or key_id not in keys) and self._may_ask():
            # It may have been made a moment ago, by way of another gateway.
            try:
                await self._book.refresh()
            except Transient as error:
                log.warning("api_keys_away", reason=str(error))
        if self._book.keys is None:
            raise Undecided("the API keys are not known yet: try again")
        return self._book.keys.get(key_id)

    def _may_ask(self) -> bool:
        """Not for each guess of whoever makes up ids."""
        now = self._now_seconds()
        if now - self._asked_at < REFRESH_SECONDS and self._book.keys is not None:
            return False
        self._asked_at = now
        return True

    async def followed(self, _app: object) -> AsyncGenerator[None]:
        """Follows the changes while an application runs."""
        following = asyncio.create_task(self._follow())
        yield
        following.cancel()
        await asyncio.wait([following])

    async def _follow(self) -> None:
        away = False
        while True:
            try:
                await self._book.refresh()
                away = False
            except Transient as error:
                if not away:
                    log.warning("api_keys_away", reason=str(error))
                away = True
            except Exception:
                # Whatever the bucket holds must not have a revoked key let in for ever.
                log.exception("api_keys_not_read")
            await asyncio.sleep(REFRESH_SECONDS)


def _hash(secret: str) -> str:
    # Not a slow hash: nobody can try 2 to the power of 256 secrets, however fast the hash is.
    return sha256(secret.encode()).hexdigest()
