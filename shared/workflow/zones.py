"""Which time zones there are."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def known_zones() -> frozenset[str]:
    """The zones of the pinned `tzdata`, so that every replica knows the same, whatever its host."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())
