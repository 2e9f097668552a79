"""What the player service takes from its environment."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.runtime.definition import ServiceSettings


class PlayerSettings(ServiceSettings, frozen=True, kw_only=True):
    """The player's own settings beside every service's."""

    reset_hour: Annotated[int, Meta(ge=0, le=23, description="an hour from 0 to 23")] = 0
    """When a reward day begins, in the player's own time zone."""
