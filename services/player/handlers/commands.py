"""Carries out requests about players, their balances and the catalogue."""

from __future__ import annotations

from uuid import uuid4

from services.player.handlers.players import active, check_zone, found, locked, progress
from services.player.models import Amounts, Entry
from services.player.rules import ledger
from services.player.store import AccountStore, CatalogueStore, InboxStore, LedgerStore
from shared.messages.player import (
    Achievement,
    AcknowledgeNotification,
    CatalogueChanged,
    CreateAchievement,
    CreatePlayer,
    Grant,
    Notification,
    Opening,
    Player,
    Progress,
    Revoke,
    Revoked,
    Spend,
    UpdateAchievement,
    UpdatePlayer,
)
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work

WIRE_NAMES = {"xp": "xp", "coins": "coins", "skill_points": "skillPoints"}


async def create_player(work: Work, request: CreatePlayer) -> Player:
    """A new player, with the balances brought along as its first grant."""
    check_zone(request.timezone)
    accounts = AccountStore(work.connection)
    opening = request.opening or Opening()
    player_id = request.id or uuid4()
    player = await accounts.create(player_id, request, opening.level, work.now)
    if player is None:
        field = "externalId" if await accounts.find(player_id) is None else "id"
        if field == "id":
            await locked(LedgerStore(work.connection, player_id), player_id)
        raise Refused(
            "player_exists", f"there is a player with this {field}", status=409, field=field
        )
    if request.opening is not None:
        entry = Entry(
            kind="opening",
            key="opening",
            reason="opening balance",
            xp=opening.xp,
            coins=opening.coins,
            skill_points=opening.skill_points,
        )
        await LedgerStore(work.connection, player_id).grant([entry], work.actor, work.now)
    return player


async def update_player(work: Work, request: UpdatePlayer) -> Player:
    """Changes what is given."""
    if isinstance(request.timezone, str):
        check_zone(request.timezone)
    await locked(LedgerStore(work.connection, request.player_id), request.player_id)
    return found(await AccountStore(work.connection).update(request), request.player_id)


async def spend(work: Work, request: Spend) -> Progress:
    """Takes coins and skill points, all of them or none."""
    asked = Amounts(coins=request.coins, skill_points=request.skill_points)
    check_amounts(asked)
    store = LedgerStore(work.connection, request.player_id)
    player = await active(store, request.player_id)
    entry = Entry(
        kind="spend",
        key=request.key,
        reason=request.reason,
        coins=-asked.coins,
        skill_points=-asked.skill_points,
    )
    if await is_new(store, entry):
        short = ledger.shortage(player.balance, asked)
        if short is not None:
            raise Refused(
                "insufficient_funds",
                f"{getattr(player.balance, short)} of {getattr(asked, short)} {short} are there",
                status=409,
                field=WIRE_NAMES[short],
            )
        await store.grant([entry], work.actor, work.now)
    return await progress(work, request.player_id)


async def grant(work: Work, request: Grant) -> Progress:
    """Gives, also to an inactive player; the level follows with the player's next run."""
    entry = Entry(
        kind="grant",
        key=request.key,
        reason=request.reason,
        xp=request.xp,
        coins=request.coins,
        skill_points=request.skill_points,
        streak_freezes=request.streak_freezes,
        items=request.items,
    )
    store = LedgerStore(work.connection, request.player_id)
    await locked(store, request.player_id)
    if await is_new(store, entry):
        await store.grant([entry], work.actor, work.now)
    return await progress(work, request.player_id)


async def revoke(work: Work, request: Revoke) -> Revoked:
    """Takes back by a counter-grant what is still there; the level stays."""
    asked = Amounts(xp=request.xp, coins=request.coins, skill_points=request.skill_points)
    check_amounts(asked)
    store = LedgerStore(work.connection, request.player_id)
    player = await locked(store, request.player_id)
    known = await store.entry("revoke", request.key)
    if known is None:
        taken = ledger.revocable(player.balance, asked)
        entry = Entry(
            kind="revoke",
            key=request.key,
            reason=request.reason,
            xp=-taken.xp,
            coins=-taken.coins,
            skill_points=-taken.skill_points,
            shortfall=ledger.difference(asked, taken),
        )
        await store.grant([entry], work.actor, work.now)
    else:
        taken = Amounts(xp=-known.xp, coins=-known.coins, skill_points=-known.skill_points)
        if known.shortfall != ledger.difference(asked, taken):
            raise key_reused(request.key)
    return Revoked(
        progress=await progress(work, request.player_id),
        xp=taken.xp,
        coins=taken.coins,
        skill_points=taken.skill_points,
    )


async def acknowledge_notification(work: Work, request: AcknowledgeNotification) -> Notification:
    """Marks a notification as seen; again changes nothing."""
    inbox = InboxStore(work.connection, request.player_id)
    notification = await inbox.acknowledge(request.notification_id, work.now)
    if notification is None:
        raise Refused(
            "notification_not_found",
            f"player {request.player_id} has no notification {request.notification_id}",
            status=404,
            field="notificationId",
        )
    return notification


async def create_achievement(work: Work, request: CreateAchievement) -> Achievement:
    """Adds to the catalogue; who has reached it unlocks it with the next run."""
    if request.type == "accuracy" and request.threshold > 100:
        raise Refused(
            "threshold_out_of_range",
            f"an accuracy is in percent, and {request.threshold} is over 100",
            field="threshold",
        )
    achievement = await CatalogueStore(work.connection).create(request)
    if achievement is None:
        raise Refused(
            "achievement_exists",
            f"there is an achievement {request.id!r}",
            status=409,
            field="id",
        )
    work.publish(CatalogueChanged(achievement_id=achievement.id))
    return achievement


async def update_achievement(work: Work, request: UpdateAchievement) -> Achievement:
    """Changes what is given; nobody loses what is unlocked."""
    achievement = await CatalogueStore(work.connection).update(request)
    if achievement is None:
        raise Refused(
            "achievement_not_found",
            f"there is no achievement {request.id!r}",
            status=404,
            field="id",
        )
    work.publish(CatalogueChanged(achievement_id=achievement.id))
    return achievement


def check_amounts(asked: Amounts) -> None:
    """Raises Refused `nothing_asked` when no amount is given."""
    if asked == Amounts():
        raise Refused("nothing_asked", "give at least one amount above zero", field="coins")


async def is_new(store: LedgerStore, entry: Entry) -> bool:
    """Whether the entry's key is free. Raises Refused `key_reused` where it gave something else."""
    known = await store.entry(entry.kind, entry.key)
    if known is None:
        return True
    if not ledger.same_amounts(known, entry):
        raise key_reused(entry.key)
    return False


def key_reused(key: str) -> Refused:
    """Why a request cannot be told from an earlier one."""
    return Refused(
        "key_reused",
        f"key {key!r} came with other amounts before: use a new key",
        field="key",
    )


COMMANDS: tuple[AnyHandler, ...] = (
    Handler("create_player", CreatePlayer, create_player),
    Handler("update_player", UpdatePlayer, update_player),
    Handler("spend", Spend, spend),
    Handler("grant", Grant, grant),
    Handler("revoke", Revoke, revoke),
    Handler("acknowledge_notification", AcknowledgeNotification, acknowledge_notification),
    Handler("create_achievement", CreateAchievement, create_achievement),
    Handler("update_achievement", UpdateAchievement, update_achievement),
)
