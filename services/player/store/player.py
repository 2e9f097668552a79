"""What a player's run reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.player.models import Streak, Totals
from services.player.rules.retention import Cutoffs
from services.player.store.ledger import LedgerStore
from services.player.store.rows import achievement
from shared.messages.player import Achievement, Cleaned, DailyReward, LevelUp, Statistics


class PlayerStore(LedgerStore):
    """The player's reward days, levels, achievements, statistics and old rows."""

    async def claim_day(self, reward: DailyReward, streak: Streak, at: datetime) -> bool:
        """Records a day's reward with the streak it leaves; False when the day has one."""
        claimed = await self._connection.fetchval(
            """
            WITH claimed AS (
                INSERT INTO daily_rewards
                    (player_uuid, reward_day, experience_gained, coins_gained, streak, created_at)
                VALUES ($1, $2, $3, $4, $5, $7)
                ON CONFLICT (player_uuid, reward_day) DO NOTHING
                RETURNING player_uuid, reward_day, streak
            )
            UPDATE player_progress AS p SET
                streak_current = claimed.streak, streak_best = $6,
                last_reward_day = claimed.reward_day, version = p.version + 1
            FROM claimed WHERE p.player_uuid = claimed.player_uuid
            RETURNING true
            """,
            self._player_id,
            reward.reward_day,
            reward.xp,
            reward.coins,
            reward.streak,
            streak.best,
            at,
        )
        return claimed is not None

    async def raise_level(self, level_up: LevelUp, at: datetime) -> tuple[str, ...]:
        """Sets the level and unlocks what its levels bring; returns the features."""
        rows = await self._connection.fetch(
            """
            WITH raised AS (
                UPDATE player_progress SET level = $3, version = version + 1
                WHERE player_uuid = $1 AND level = $2
                RETURNING player_uuid
            ), unlocked AS (
                INSERT INTO player_unlocks (player_uuid, feature, level, unlocked_at)
                SELECT raised.player_uuid, u.feature, u.level, $4
                FROM raised, level_unlocks AS u WHERE u.level > $2 AND u.level <= $3
                ON CONFLICT (player_uuid, feature) DO NOTHING
                RETURNING feature, level
            )
            SELECT feature FROM unlocked ORDER BY level, feature
            """,
            self._player_id,
            level_up.previous_level,
            level_up.level,
            at,
        )
        return tuple(row["feature"] for row in rows)

    async def notify_level_up(self, level_up: LevelUp, run: str, at: datetime) -> None:
        """Tells the player; further levels of the same run are added to what is told, anew."""
        await self._connection.execute(
            """
            INSERT INTO notifications AS n (player_uuid, type, source_key, data, created_at)
            VALUES ($1, 'level_up', $2, $3::jsonb, $4)
            ON CONFLICT (player_uuid, type, source_key) DO UPDATE SET
                data = jsonb_build_object(
                    'previousLevel', n.data -> 'previousLevel',
                    'level', excluded.data -> 'level',
                    'xp', (n.data ->> 'xp')::bigint + (excluded.data ->> 'xp')::bigint,
                    'coins', (n.data ->> 'coins')::bigint + (excluded.data ->> 'coins')::bigint,
                    'skillPoints', (n.data ->> 'skillPoints')::bigint
                                   + (excluded.data ->> 'skillPoints')::bigint,
                    'features', (n.data -> 'features') || (excluded.data -> 'features')),
                acknowledged_at = NULL
            """,
            self._player_id,
            run,
            msgspec.json.encode(level_up).decode(),
            at,
        )

    async def achievable(self) -> tuple[Totals, list[Achievement]]:
        """The active achievements the player lacks, and the totals that they are judged by."""
        rows = await self._connection.fetch(
            """
            WITH totals AS (
                SELECT t.sessions_completed + s.sessions AS sessions,
                       t.answered + s.answered AS total_answered,
                       t.correct + s.correct AS total_correct
                FROM player_stats AS t, (
                    SELECT count(*) AS sessions, coalesce(sum(answered), 0)::bigint AS answered,
                           coalesce(sum(correct), 0)::bigint AS correct
                    FROM game_sessions
                    WHERE player_uuid = $1 AND status = 'completed' AND folded_at IS NULL
                ) AS s WHERE t.player_uuid = $1
            )
            SELECT totals.*, a.id, a.name, a.type, a.threshold, a.reward::text AS reward,
                   a.hidden, a.active
            FROM totals, achievements AS a
            WHERE a.active AND NOT EXISTS (
                SELECT FROM player_achievements AS p
                WHERE p.player_uuid = $1 AND p.achievement_id = a.id)
            ORDER BY a.threshold, a.id
            """,
            self._player_id,
        )
        if not rows:
            return Totals(), []
        first = rows[0]
        totals = Totals(
            sessions=first["sessions"],
            answered=first["total_answered"],
            correct=first["total_correct"],
        )
        return totals, [achievement(row) for row in rows]

    async def unlock(self, achievement_ids: Sequence[str], at: datetime) -> set[str]:
        """Unlocks achievements and tells the player of each; returns those that are new."""
        rows = await self._connection.fetch(
            """
            WITH unlocked AS (
                INSERT INTO player_achievements (player_uuid, achievement_id, unlocked_at)
                SELECT $1, id, $3 FROM unnest($2::text[]) AS id
                ON CONFLICT (player_uuid, achievement_id) DO NOTHING
                RETURNING achievement_id
            ), told AS (
                INSERT INTO notifications (player_uuid, type, source_key, data, created_at)
                SELECT $1, 'achievement_unlocked', a.id, jsonb_build_object(
                    'achievementId', a.id, 'name', a.name, 'reward', a.reward), $3
                FROM unlocked JOIN achievements AS a ON a.id = unlocked.achievement_id
                ON CONFLICT (player_uuid, type, source_key) DO NOTHING
            )
            SELECT achievement_id FROM unlocked
            """,
            self._player_id,
            list(achievement_ids),
            at,
        )
        return {row["achievement_id"] for row in rows}

    async def fold_sessions(self, at: datetime) -> Statistics | None:
        """Counts each completed session into the statistics once, by the mark on its row.

        None when there is no such player.
        """
        row = await self._connection.fetchrow(
            """
            WITH owner AS (
                SELECT player_uuid, level, xp, coins, skill_points
                FROM player_progress WHERE player_uuid = $1 FOR UPDATE
            ), folded AS (
                UPDATE game_sessions AS s SET folded_at = $2
                FROM owner WHERE s.player_uuid = owner.player_uuid
                    AND s.status = 'completed' AND s.folded_at IS NULL
                RETURNING s.answered, s.correct, s.best_streak, s.score,
                    floor(extract(epoch FROM s.ended_at - s.started_at))::bigint AS play_seconds
            ), sums AS (
                SELECT count(*) AS sessions, coalesce(sum(answered), 0) AS answered,
                       coalesce(sum(correct), 0) AS correct,
                       coalesce(max(best_streak), 0) AS best_streak,
                       coalesce(sum(play_seconds), 0) AS play_seconds,
                       coalesce(sum(score), 0) AS score
                FROM folded
            )
            UPDATE player_stats AS t SET
                sessions_completed = t.sessions_completed + sums.sessions,
                answered = t.answered + sums.answered,
                correct = t.correct + sums.correct,
                best_streak = greatest(t.best_streak, sums.best_streak),
                play_seconds = t.play_seconds + sums.play_seconds,
                score_sum = t.score_sum + sums.score
            FROM sums, owner WHERE t.player_uuid = owner.player_uuid
            RETURNING owner.player_uuid AS player_id, owner.level, owner.xp, owner.coins,
                owner.skill_points, t.sessions_completed, t.answered, t.correct, t.best_streak,
                t.play_seconds, t.score_sum, sums.sessions AS sessions_folded
            """,
            self._player_id,
            at,
        )
        return None if row is None else Statistics(**row)

    async def clean(self, cutoffs: Cutoffs, guest_batch: int) -> Cleaned:
        """Deletes what is older than the cutoffs, but no session that is yet to be counted.

        Of the guests' sessions a batch; SKIP LOCKED lets many players' runs share that work.
        """
        row = await self._connection.fetchrow(
            """
            WITH sessions AS (
                DELETE FROM game_sessions
                WHERE player_uuid = $1 AND coalesce(ended_at, started_at) < $2
                    AND NOT (status = 'completed' AND folded_at IS NULL)
                RETURNING 1
            ), messages AS (
                DELETE FROM messages WHERE player_uuid = $1 AND created_at < $2 RETURNING 1
            ), event_logs AS (
                DELETE FROM event_logs WHERE player_uuid = $1 AND created_at < $2 RETURNING 1
            ), guest_sessions AS (
                DELETE FROM game_sessions WHERE id IN (
                    SELECT id FROM game_sessions
                    WHERE player_uuid IS NULL AND coalesce(ended_at, started_at) < $3
                    LIMIT $4 FOR UPDATE SKIP LOCKED)
                RETURNING 1
            )
            SELECT (SELECT count(*) FROM sessions) AS sessions,
                   (SELECT count(*) FROM messages) AS messages,
                   (SELECT count(*) FROM event_logs) AS event_logs,
                   (SELECT count(*) FROM guest_sessions) AS guest_sessions
            """,
            self._player_id,
            cutoffs.rows,
            cutoffs.guest_sessions,
            guest_batch,
        )
        return Cleaned(**row)
