"""Answers questions about players and the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.player.handlers.players import found, progress
from services.player.store import (
    AccountStore,
    CatalogueStore,
    InboxStore,
    ReadingStore,
    SessionStore,
)
from shared.messages.player import (
    Achievements,
    ByPlayer,
    BySession,
    Everything,
    Inventory,
    Notifications,
    PageOfPlayer,
    Player,
    Progress,
    Session,
    Sessions,
    XpHistory,
)
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work

T = TypeVar("T")


async def player(work: Work, request: ByPlayer) -> Player:
    """Who the player is."""
    return found(await AccountStore(work.connection).find(request.player_id), request.player_id)


async def player_progress(work: Work, request: ByPlayer) -> Progress:
    """Where the player stands."""
    return await progress(work, request.player_id)


async def inventory(work: Work, request: ByPlayer) -> Inventory:
    """What the player has."""
    await player(work, request)
    return await ReadingStore(work.connection, request.player_id).inventory()


async def xp_history(work: Work, request: PageOfPlayer) -> XpHistory:
    """Where the player's xp came from."""
    await player(work, ByPlayer(player_id=request.player_id))
    entries, cursor = await page(
        request,
        ReadingStore(work.connection, request.player_id).xp_history,
        lambda entry: entry.id,
    )
    return XpHistory(entries=tuple(entries), next_cursor=cursor)


async def notifications(work: Work, request: PageOfPlayer) -> Notifications:
    """The player's inbox."""
    await player(work, ByPlayer(player_id=request.player_id))
    found_ones, cursor = await page(
        request,
        InboxStore(work.connection, request.player_id).notifications,
        lambda notification: notification.id,
    )
    return Notifications(notifications=tuple(found_ones), next_cursor=cursor)


async def sessions(work: Work, request: PageOfPlayer) -> Sessions:
    """The player's sessions that retention has left."""
    await player(work, ByPlayer(player_id=request.player_id))
    numbered, cursor = await page(
        request,
        ReadingStore(work.connection, request.player_id).sessions,
        lambda each: each[0],
    )
    return Sessions(sessions=tuple(each for _, each in numbered), next_cursor=cursor)


async def session(work: Work, request: BySession) -> Session:
    """One session."""
    known = await SessionStore(work.connection).find(request.session_id)
    if known is None:
        raise Refused(
            "session_not_found",
            f"there is no session {request.session_id}",
            status=404,
            field="sessionId",
        )
    return known


async def achievements(work: Work, request: Everything) -> Achievements:
    """The catalogue."""
    catalogue = CatalogueStore(work.connection)
    return Achievements(achievements=tuple(await catalogue.achievements(request.include_hidden)))


async def page(
    request: PageOfPlayer,
    read: Callable[[int, int | None], Awaitable[Sequence[T]]],
    number: Callable[[T], int],
) -> tuple[Sequence[T], int | None]:
    """A page, and the cursor of the next one if there is one."""
    rows = await read(request.limit + 1, request.cursor)
    kept = rows[: request.limit]
    return kept, number(kept[-1]) if len(rows) > len(kept) else None


QUERIES: tuple[AnyHandler, ...] = (
    Handler("player", ByPlayer, player),
    Handler("progress", ByPlayer, player_progress),
    Handler("inventory", ByPlayer, inventory),
    Handler("xp_history", PageOfPlayer, xp_history),
    Handler("notifications", PageOfPlayer, notifications),
    Handler("sessions", PageOfPlayer, sessions),
    Handler("session", BySession, session),
    Handler("achievements", Everything, achievements),
)
