"""Requests on `commands.player.<name>` and `queries.player.<name>`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from shared.messages.base import Message
from shared.messages.player.values import (
    AchievementId,
    AchievementType,
    Amount,
    ItemName,
    Text,
    Threshold,
)
from shared.messages.values import Cursor, Email, Limit, Name, SourceId, ZoneName


class Opening(Message, frozen=True, kw_only=True):
    """Balances brought along from another system, booked as one grant by the importing operator."""

    xp: Amount = 0
    level: Annotated[int, Meta(ge=1, le=100_000)] = 1
    coins: Amount = 0
    skill_points: Amount = 0


class CreatePlayer(Message, frozen=True, kw_only=True):
    """`create_player`: answers Player; the same `id` or `externalId` again is refused."""

    id: UUID | None = None
    external_id: SourceId | None = None
    email: Email | None = None
    timezone: ZoneName = "UTC"
    opening: Opening | None = None


class UpdatePlayer(Message, frozen=True, kw_only=True):
    """`update_player`: changes what is given; answers Player."""

    player_id: UUID
    email: Email | UnsetType | None = UNSET
    timezone: ZoneName | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class Spend(Message, frozen=True, kw_only=True):
    """`spend`: takes coins or skill points, never below zero; answers Progress."""

    player_id: UUID
    key: SourceId
    """The purchase's own id: the same key again takes nothing more."""
    coins: Amount = 0
    skill_points: Amount = 0
    reason: Text = "spend"


class Grant(Message, frozen=True, kw_only=True):
    """`grant`: an operator gives; answers Progress. The same key again gives nothing more."""

    player_id: UUID
    key: SourceId
    reason: Text
    xp: Amount = 0
    coins: Amount = 0
    skill_points: Amount = 0
    streak_freezes: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Each keeps the streak over one day without a reward."""
    items: Annotated[tuple[ItemName, ...], Meta(max_length=100)] = ()


class Revoke(Message, frozen=True, kw_only=True):
    """`revoke`: an operator takes back by a counter-grant, to zero at most; answers Revoked."""

    player_id: UUID
    key: SourceId
    reason: Text
    xp: Amount = 0
    coins: Amount = 0
    skill_points: Amount = 0


class AcknowledgeNotification(Message, frozen=True, kw_only=True):
    """`acknowledge_notification`: answers Notification."""

    player_id: UUID
    notification_id: Cursor


class AchievementReward(Message, frozen=True, kw_only=True):
    """What an achievement grants."""

    xp: Amount = 0
    coins: Amount = 0
    skill_points: Amount = 0
    items: Annotated[tuple[ItemName, ...], Meta(max_length=100)] = ()


class CreateAchievement(Message, frozen=True, kw_only=True):
    """`create_achievement`: answers Achievement. An accuracy threshold is in percent."""

    id: AchievementId
    name: Name
    type: AchievementType
    threshold: Threshold
    reward: AchievementReward = AchievementReward()
    hidden: bool = False


class UpdateAchievement(Message, frozen=True, kw_only=True):
    """`update_achievement`: hides, retires or renames; answers Achievement."""

    id: AchievementId
    name: Name | UnsetType = UNSET
    hidden: bool | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class ByPlayer(Message, frozen=True, kw_only=True):
    """`player`, `progress`, `inventory`: answers Player, Progress, Inventory."""

    player_id: UUID


class PageOfPlayer(Message, frozen=True, kw_only=True):
    """`xp_history`, `notifications`, `sessions`: newest first; answers a page."""

    player_id: UUID
    limit: Limit = 20
    cursor: Cursor | None = None
    """`nextCursor` of the page before."""


class BySession(Message, frozen=True, kw_only=True):
    """`session`: answers Session."""

    session_id: UUID


class Everything(Message, frozen=True, kw_only=True):
    """`achievements`: the catalogue; answers Achievements."""

    include_hidden: bool = False
