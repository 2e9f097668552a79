"""The player service's contract: facts it takes, requests it answers, facts it publishes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.messages.base import Message
from shared.messages.events import Event

SERVICE = "player"

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Amount = Annotated[int, Meta(ge=0, le=10**12)]
SourceId = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
ZoneName = Annotated[str, Meta(min_length=1, max_length=64)]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]
AchievementType = Literal["level", "experience", "sessions", "streak", "accuracy"]
ActivityName = Literal["npc_interaction", "create_npc", "lobby_participation"]
Limit = Annotated[int, Meta(ge=1, le=100)]


# -- Facts from games, on ingest.player.<name> --------------------------------------------------


class LoggedIn(Message, frozen=True, kw_only=True):
    """`login`: the player came in; starts the player's run of that reward day."""

    player_id: UUID
    at: datetime | None = None
    """When it happened; the service's own instant where it is left out."""


class SessionReported(Message, frozen=True, kw_only=True):
    """`session`: a game session began or ended. Repeats and late arrivals change nothing twice."""

    session_id: UUID
    player_id: UUID | None = None
    """None for a guest's session, which is deleted after 24 hours."""
    status: Literal["active", "completed", "abandoned"] = "completed"
    difficulty: Annotated[str, Meta(min_length=1, max_length=50)] = "normal"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    score: Count = 0
    correct: Count = 0
    answered: Count = 0
    best_streak: Count = 0


class MessageSent(Message, frozen=True, kw_only=True):
    """`message`: the player wrote in a chat."""

    message_id: UUID
    player_id: UUID
    text: Annotated[str, Meta(max_length=4000)] = ""
    at: datetime | None = None


class ActivityReported(Message, frozen=True, kw_only=True):
    """`activity`: something else that earns experience, once per source id."""

    player_id: UUID
    event: ActivityName
    source_id: SourceId
    at: datetime | None = None


# -- Requests on commands.player.<name> ---------------------------------------------------------


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
    """`grant`: an operator gives; answers Progress."""

    player_id: UUID
    key: SourceId
    reason: Text
    xp: Amount = 0
    coins: Amount = 0
    skill_points: Amount = 0
    items: tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...] = ()


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
    notification_id: int


class AchievementReward(Message, frozen=True, kw_only=True):
    """What an achievement grants."""

    xp: Amount = 0
    coins: Amount = 0
    skill_points: Amount = 0
    items: tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...] = ()


class CreateAchievement(Message, frozen=True, kw_only=True):
    """`create_achievement`: answers Achievement. An accuracy threshold is in percent."""

    id: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}$(?!\n)")]
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    type: AchievementType
    threshold: Annotated[int, Meta(ge=1, le=10**12)]
    reward: AchievementReward = AchievementReward()
    hidden: bool = False


class UpdateAchievement(Message, frozen=True, kw_only=True):
    """`update_achievement`: hides, retires or renames; answers Achievement."""

    id: str
    name: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    hidden: bool | UnsetType = UNSET
    active: bool | UnsetType = UNSET


# -- Requests on queries.player.<name> ----------------------------------------------------------


class ByPlayer(Message, frozen=True, kw_only=True):
    """`player`, `progress`, `inventory`: answers Player, Progress, Inventory."""

    player_id: UUID


class PageOfPlayer(Message, frozen=True, kw_only=True):
    """`xp_history`, `notifications`, `sessions`: newest first; answers a page."""

    player_id: UUID
    limit: Limit = 20
    cursor: Annotated[int, Meta(ge=1)] | None = None
    """`nextCursor` of the page before."""


class BySession(Message, frozen=True, kw_only=True):
    """`session`: answers Session."""

    session_id: UUID


class Everything(Message, frozen=True, kw_only=True):
    """`achievements`: the catalogue; answers Achievements."""

    include_hidden: bool = False


# -- Answers ------------------------------------------------------------------------------------


class Player(Message, frozen=True, kw_only=True):
    id: UUID
    external_id: str | None
    email: str | None
    timezone: str
    is_active: bool
    last_login: datetime | None
    created_at: datetime


class Progress(Message, frozen=True, kw_only=True):
    player_id: UUID
    xp: int
    level: int
    coins: int
    skill_points: int
    streak_current: int
    streak_best: int
    streak_freezes: int
    xp_to_next_level: int
    percent_to_next_level: int
    sessions_completed: int
    answered: int
    correct: int
    best_streak: int
    play_seconds: int
    average_score: int


class Revoked(Message, frozen=True, kw_only=True):
    progress: Progress
    xp: int
    coins: int
    skill_points: int
    """What was really taken; the shortfall is kept with the grant."""


class Item(Message, frozen=True, kw_only=True):
    item: str
    quantity: int


class UnlockedAchievement(Message, frozen=True, kw_only=True):
    id: str
    name: str
    unlocked_at: datetime


class Inventory(Message, frozen=True, kw_only=True):
    items: tuple[Item, ...]
    features: tuple[str, ...]
    achievements: tuple[UnlockedAchievement, ...]


class XpEntry(Message, frozen=True, kw_only=True):
    id: int
    amount: int
    reason: str
    at: datetime
    coins: int
    skill_points: int


class XpHistory(Message, frozen=True, kw_only=True):
    entries: tuple[XpEntry, ...]
    next_cursor: int | None = None


class Notification(Message, frozen=True, kw_only=True):
    id: int
    type: str
    data: msgspec.Raw
    created_at: datetime
    acknowledged_at: datetime | None


class Notifications(Message, frozen=True, kw_only=True):
    notifications: tuple[Notification, ...]
    next_cursor: int | None = None


class Session(Message, frozen=True, kw_only=True):
    id: UUID
    player_id: UUID | None
    status: str
    difficulty: str
    started_at: datetime
    ended_at: datetime | None
    score: int
    correct: int
    answered: int
    best_streak: int


class Achievement(Message, frozen=True, kw_only=True):
    id: str
    name: str
    type: AchievementType
    threshold: int
    reward: AchievementReward
    hidden: bool
    active: bool


class Achievements(Message, frozen=True, kw_only=True):
    achievements: tuple[Achievement, ...]


# -- Facts on events.player.<name> --------------------------------------------------------------


class DailyRewardClaimed(Event, frozen=True, kw_only=True):
    name = "daily_reward_claimed"

    player_id: UUID
    reward_day: str
    xp: int
    coins: int
    streak: int


class LevelReached(Event, frozen=True, kw_only=True):
    name = "level_reached"

    player_id: UUID
    previous_level: int
    level: int


class AchievementUnlocked(Event, frozen=True, kw_only=True):
    name = "achievement_unlocked"

    player_id: UUID
    achievement_id: str


class PlayerLoggedIn(Event, frozen=True, kw_only=True):
    name = "player_logged_in"

    player_id: UUID


class SessionCompleted(Event, frozen=True, kw_only=True):
    name = "session_completed"

    player_id: UUID
    session_id: UUID
    score: int
