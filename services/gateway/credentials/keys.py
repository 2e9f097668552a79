"""API keys: how they look, and whom they let in."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import AsyncGenerator
from hashlib import sha256
from string import ascii_lowercase, digits
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
PATIENCE_SECONDS = 2.0
"""So long a request waits for the look that tells whether there is its key."""
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

    def __init__(self, api_key: Secret, book: ApiKeyBook):
        self._bootstrap = api_key.reveal().encode()
        self._book = book
        self._looked = asyncio.Condition()
        self._begun = 0
        self._succeeded = 0

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
        if self._book.keys is None or key_id not in self._book.keys:
            # It may have been made a moment ago. The next look tells, and not one of its own: so
            # whoever makes ids up costs NATS nothing, and waits.
            await self._next_look()
        if self._book.keys is None:
            raise Undecided("the API keys are not known yet: try again")
        return self._book.keys.get(key_id)

    async def _next_look(self) -> None:
        """Returns after a look that began later than now. Raises Undecided where none succeeds."""
        wanted = self._begun + 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._looked:
                await self._looked.wait_for(lambda: self._succeeded >= wanted)
        except TimeoutError as error:
            raise Undecided("whether there is this API key is not known now") from error

    async def followed(self, _app: object) -> AsyncGenerator[None]:
        """Looks at what changes while an application runs."""
        following = asyncio.create_task(self._follow())
        yield
        following.cancel()
        await asyncio.wait([following])

    async def _follow(self) -> None:
        away = False
        while True:
            self._begun += 1
            try:
                await self._book.refresh()
            except Transient as error:
                if not away:
                    log.warning("api_keys_away", reason=str(error))
                away = True
            except Exception:
                # One look that fails must not be the last: a revoked key would stay let in.
                log.exception("api_keys_not_read")
            else:
                away = False
                async with self._looked:
                    self._succeeded = self._begun
                    self._looked.notify_all()
            await asyncio.sleep(REFRESH_SECONDS)


def _hash(secret: str) -> str:
    # Not a slow hash: nobody can try 2 to the power of 256 secrets, however fast the hash is.
    return sha256(secret.encode()).hexdigest()
