"""The player's workflow: everything one player is owed, given once."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

from msgspec.structs import replace

from services.player.models import PlayerState
from services.player.rules import achievements, levels, rewards
from services.player.rules.retention import RetentionPolicy
from services.player.store import PlayerStore
from shared.messages.player import (
    Achieved,
    AchievementUnlocked,
    Cleaned,
    DailyReward,
    DailyRewardClaimed,
    LevelReached,
    LevelUp,
    PlayerReport,
    Statistics,
)
from shared.messages.workflows import StartPlayer
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed
from shared.workflow.step import SKIPPED, Skipped, Step, StoreFactory

T = TypeVar("T")


class PersonHeld(Exception):
    """The player is about to be erased."""


class PlayerWorkflow:
    """Brings one player up to date."""

    kind = "player"

    def __init__(
        self,
        store: StoreFactory[PlayerStore] = PlayerStore,
        *,
        reset_hour: int = 0,
        retention: RetentionPolicy | None = None,
    ) -> None:
        self._store = store
        self._reset_hour = reset_hour
        self._retention = retention or RetentionPolicy()

    async def run(self, ctx: WorkflowContext, start: StartPlayer) -> PlayerReport:
        """The reference's five steps. A player who is not there, or inactive, ends it."""
        player_id = start.player_id
        reward = await unless(
            "day_in_past", ctx.step("daily_rewards", self.process_daily_rewards, player_id)
        )
        level_up = await ctx.step("level_progression", self.check_level_progression, player_id)
        achieved = await ctx.step("achievements", self.process_achievements, player_id)
        statistics = await ctx.step("stats_update", self.update_player_stats, player_id)
        # Old rows are no reason to call rewards off that the player already has.
        cleaned = await unless(None, ctx.step("cleanup", self.cleanup_old_data, player_id))
        return report(statistics, reward, level_up, achieved, cleaned)

    async def process_daily_rewards(self, step: Step, player_id: UUID) -> DailyReward | Skipped:
        """Gives the reward of the player's day; once a day, whatever starts the run."""
        store, player = await self._lock(step, player_id)
        day = rewards.reward_day(step.now, player.timezone, self._reset_hour)
        claim = rewards.claim(player.streak, day, player.daily_base_xp)
        if claim is None or not await store.claim_day(claim.reward, claim.streak, step.now):
            return SKIPPED
        await store.grant([claim.entry], actor(step), step.now)
        reward = claim.reward
        step.publish(
            DailyRewardClaimed(
                player_id=player_id,
                reward_day=reward.reward_day,
                xp=reward.xp,
                coins=reward.coins,
                streak=reward.streak,
            )
        )
        return reward

    async def check_level_progression(self, step: Step, player_id: UUID) -> LevelUp | Skipped:
        """Settles the level, with what each level gained gives."""
        store, player = await self._lock(step, player_id)
        level_up = levels.settle(player.balance.xp, player.level)
        return (
            SKIPPED if level_up is None else await self._raise_level(step, store, player, level_up)
        )

    async def process_achievements(self, step: Step, player_id: UUID) -> Achieved | Skipped:
        """Unlocks what has been reached, and settles the levels that this gives, to the end."""
        store, player = await self._lock(step, player_id)
        totals, locked_achievements = await store.achievable()
        settlement = achievements.settle(
            achievements.Standing(
                level=player.level,
                xp=player.balance.xp,
                streak=player.streak.current,
                totals=totals,
            ),
            locked_achievements,
        )
        if not settlement.unlocked:
            return SKIPPED
        new_ids = await store.unlock([each.id for each in settlement.unlocked], step.now)
        unlocked = [each for each in settlement.unlocked if each.id in new_ids]
        await store.grant([achievements.entry(each) for each in unlocked], actor(step), step.now)
        for each in unlocked:
            step.publish(AchievementUnlocked(player_id=player_id, achievement_id=each.id))
        level_up = settlement.level_up
        if level_up is not None:
            level_up = await self._raise_level(step, store, player, level_up)
        return Achieved(achievements=tuple(each.id for each in unlocked), level_up=level_up)

    async def update_player_stats(self, step: Step, player_id: UUID) -> Statistics:
        """Counts the completed sessions that are not counted yet."""
        statistics = await self._store(step.connection, player_id).fold_sessions(step.now)
        if statistics is None:
            raise player_not_found(player_id)
        return statistics

    async def cleanup_old_data(self, step: Step, player_id: UUID) -> Cleaned:
        """Deletes the player's old rows, and some of the guests'."""
        store = self._store(step.connection, player_id)
        policy = self._retention
        return await store.clean(policy.cutoffs(step.now), policy.guest_batch)

    async def _lock(self, step: Step, player_id: UUID) -> tuple[PlayerStore, PlayerState]:
        """The player, locked. Raises NonRetryableError: no later attempt finds it otherwise."""
        store = self._store(step.connection, player_id)
        player = await store.lock()
        if player is None:
            raise player_not_found(player_id)
        if player.is_erased:
            raise NonRetryableError("person_erased", f"player {player_id} is erased")
        if player.held_by is not None:
            # Not for good: an erasure that is called off releases the player.
            raise PersonHeld(f"player {player_id} is held by the erasure {player.held_by}")
        if not player.is_active:
            raise NonRetryableError("player_inactive", f"player {player_id} is inactive")
        return store, player

    async def _raise_level(
        self, step: Step, store: PlayerStore, player: PlayerState, level_up: LevelUp
    ) -> LevelUp:
        await store.grant(levels.entries(level_up), actor(step), step.now)
        level_up = replace(level_up, features=await store.raise_level(level_up, step.now))
        await store.notify_level_up(level_up, step.workflow_id, step.now)
        step.publish(
            LevelReached(
                player_id=player.id,
                previous_level=level_up.previous_level,
                level=level_up.level,
            )
        )
        return level_up


async def unless(code: str | None, step: Awaitable[T]) -> T | None:
    """The step's result; None when it failed by `code`, or by whatever for None."""
    try:
        return await step
    except StepFailed as failure:
        if code not in {None, failure.name}:
            raise
        return None


def player_not_found(player_id: UUID) -> NonRetryableError:
    """Why a run about nobody ends."""
    return NonRetryableError("player_not_found", f"there is no player {player_id}: create it first")


def actor(step: Step) -> str:
    """Who a grant in the ledger is from."""
    return f"workflow:{step.workflow_id}"


def report(
    statistics: Statistics,
    reward: DailyReward | Skipped | None,
    level_up: LevelUp | Skipped,
    achieved: Achieved | Skipped,
    cleaned: Cleaned | None,
) -> PlayerReport:
    """The run's output: where the player stands, and what led there."""
    unlocked = Achieved(achievements=()) if achieved is SKIPPED else achieved
    gained = (None if level_up is SKIPPED else level_up, unlocked.level_up)
    return PlayerReport(
        player_id=statistics.player_id,
        level=statistics.level,
        xp=statistics.xp,
        coins=statistics.coins,
        skill_points=statistics.skill_points,
        daily_reward=None if reward is SKIPPED else reward,
        level_ups=tuple(each for each in gained if each is not None),
        achievements=unlocked.achievements,
        sessions_folded=statistics.sessions_folded,
        cleaned=cleaned,
    )
