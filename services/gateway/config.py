"""What the gateway takes from its environment."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from shared.runtime.config import Secret, Settings

CACHE_SECONDS = 300
RATE_PER_SECOND = 100.0
MAX_WAITING_STARTS = 100_000
BODY_SECONDS = 10.0


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """See Settings for the rest."""

    NEEDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("jwt_issuer", "jwt_audience"),
        ("jwt_audience", "jwt_jwks_url"),
        ("jwt_jwks_url", "jwt_issuer"),
    )

    api_key: Annotated[
        Secret, Meta(description="the key that callers send as `Authorization: Bearer …`")
    ]
    """The operator's, which may do everything; with it the others are made."""
    jwt_issuer: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="the issuer of tokens, as they name it in `iss`"),
    ] = None
    jwt_audience: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="what the tokens for this gateway have as `aud`"),
    ] = None
    jwt_jwks_url: Annotated[
        Annotated[str, Meta(pattern="^https?://[^@]+$")] | None,
        Meta(description="the address of the issuer's public keys, without credentials"),
    ] = None
    rate_per_second: Annotated[
        float, Meta(ge=0, le=100_000, description="a number of requests, 0 for any number")
    ] = RATE_PER_SECOND
    """How often a credential may ask this process, where its key says nothing else."""
    max_waiting_starts: Annotated[
        int, Meta(ge=1, le=10**9, description="a whole number of starts from 1")
    ] = MAX_WAITING_STARTS
    """With so many before it a service is given no more."""
    body_seconds: Annotated[
        float, Meta(gt=0, le=600, description="a number of seconds above 0")
    ] = BODY_SECONDS
    """How long a request may take to arrive."""
    cors_origins: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/\s,*]+(,https?://[^/\s,*]+)*)?$",
            description="origins such as https://game.example, separated by commas",
        ),
    ] = ""
    """Of the web pages that may call; empty: none."""
    drain_seconds: Annotated[
        float, Meta(gt=0, le=600, description="a number of seconds above 0")
    ] = 20.0
    """How long requests in flight may take after SIGTERM."""
    cache_seconds: Annotated[
        int, Meta(ge=0, le=86_400, description="a whole number of seconds from 0 to 86400")
    ] = CACHE_SECONDS
    """How long an answer may be kept; 0: none is."""
    stream_replicas: Annotated[int, Meta(ge=1, le=5, description="a number from 1 to 5")] = 1
