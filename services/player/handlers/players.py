"""Finds the player that a request or fact is about, or refuses it."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from services.player.models import PlayerState
from services.player.store import LedgerStore, ReadingStore
from shared.messages.player import Progress
from shared.messages.problems import Refused
from shared.runtime.handling import Work
from shared.runtime.persons import check_present
from shared.workflow.zones import known_zones

T = TypeVar("T")


def found(value: T | None, player_id: UUID) -> T:
    """What was read of a player. Raises Refused `player_not_found` for nothing."""
    if value is None:
        raise Refused(
            "player_not_found",
            f"there is no player {player_id}: create it first",
            status=404,
            field="playerId",
        )
    return value


async def locked(store: LedgerStore, player_id: UUID) -> PlayerState:
    """The player, alone until the transaction ends. Raises Refused `player_not_found`,
    `person_held` or `person_erased`."""
    player = found(await store.lock(), player_id)
    check_present(player.held_by, erased=player.is_erased, field="playerId")
    return player


async def active(store: LedgerStore, player_id: UUID) -> PlayerState:
    """The player, locked. Raises what `locked` does, and Refused `player_inactive`."""
    player = await locked(store, player_id)
    if not player.is_active:
        raise Refused(
            "player_inactive",
            f"player {player_id} is inactive: activate it first",
            status=409,
            field="playerId",
        )
    return player


async def progress(work: Work, player_id: UUID) -> Progress:
    """Where the player stands now. Raises Refused `player_not_found`."""
    return found(await ReadingStore(work.connection, player_id).progress(), player_id)


def check_zone(timezone: str) -> None:
    """Raises Refused `unknown_timezone`."""
    if timezone not in known_zones():
        raise Refused(
            "unknown_timezone",
            f"{timezone!r} is no time zone: use an IANA name such as Europe/Berlin",
            field="timezone",
        )
