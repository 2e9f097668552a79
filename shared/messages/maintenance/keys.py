"""API keys: what they may do. The secret itself is in no message."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from shared.messages.base import Message

KEY_ID_PATTERN = r"^[a-z0-9]{16}$(?!\n)"
SCOPE_PATTERN = r"^(\*|[a-z][a-z_-]{0,49}:(\*|[a-z]{1,20}))$(?!\n)"
SHA256_PATTERN = r"^[0-9a-f]{64}$(?!\n)"

KeyId = Annotated[str, Meta(pattern=KEY_ID_PATTERN)]
KeyName = Annotated[str, Meta(min_length=1, max_length=100)]
Scope = Annotated[str, Meta(pattern=SCOPE_PATTERN)]
"""`<what>:<action>`, `<what>:*`, or `*` for all there is."""
Scopes = Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=100)]
RatePerSecond = Annotated[float, Meta(gt=0, le=100_000)]


class CreateApiKey(Message, frozen=True, kw_only=True):
    """`create_api_key`: answers ApiKey. The gateway makes id and secret, and tells the hash."""

    id: KeyId
    name: KeyName
    secret_sha256: Annotated[str, Meta(pattern=SHA256_PATTERN)]
    """Of the secret's text, in hex."""
    scopes: Scopes
    rate_per_second: RatePerSecond | None = None
    """Requests that it may make; None: the gateway's setting."""


class RevokeApiKey(Message, frozen=True, kw_only=True):
    """`revoke_api_key`: from now on nobody is let in with it; answers ApiKey."""

    id: KeyId


class AllApiKeys(Message, frozen=True, kw_only=True):
    """`api_keys`: answers ApiKeys."""


class ApiKey(Message, frozen=True, kw_only=True):
    """A key as everybody may see it who may see keys."""

    id: str
    name: str
    scopes: tuple[str, ...]
    rate_per_second: float | None
    created_at: datetime
    created_by: str
    """The credential that made it, such as `key:bootstrap`."""
    revoked_at: datetime | None
    revoked_by: str | None


class ApiKeys(Message, frozen=True, kw_only=True):
    """All keys, the newest first, with those that were revoked."""

    keys: tuple[ApiKey, ...]
