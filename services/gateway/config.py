"""What the gateway takes from its environment."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.runtime.config import Secret, Settings

CACHE_SECONDS = 300


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """See Settings for the rest."""

    api_key: Annotated[
        Secret, Meta(description="the key that callers send as `Authorization: Bearer …`")
    ]
    drain_seconds: Annotated[
        float, Meta(gt=0, le=600, description="a number of seconds above 0")
    ] = 20.0
    """How long requests in flight may take after SIGTERM."""
    cache_seconds: Annotated[
        int, Meta(ge=0, le=86_400, description="a whole number of seconds from 0 to 86400")
    ] = CACHE_SECONDS
    """How long an answer may be kept; 0: none is."""
    stream_replicas: Annotated[int, Meta(ge=1, le=5, description="a number from 1 to 5")] = 1
