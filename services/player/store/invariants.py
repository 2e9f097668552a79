"""What must hold of players at every moment, each as a statement that finds what breaks it."""

from __future__ import annotations

from shared.postgres.invariants import Invariants

# That no balance is negative, and no day is rewarded twice, CHECKs and keys see to.
INVARIANTS: Invariants = {
    "balances_are_the_sums_of_grants": """
        SELECT p.player_uuid::text AS subject,
               concat_ws(', ',
                   CASE WHEN p.xp <> g.xp THEN p.xp || ' xp, granted ' || g.xp END,
                   CASE WHEN p.coins <> g.coins THEN p.coins || ' coins, granted ' || g.coins END,
                   CASE WHEN p.skill_points <> g.skill_points
                        THEN p.skill_points || ' skill points, granted ' || g.skill_points END,
                   CASE WHEN p.streak_freezes <> g.streak_freezes
                        THEN p.streak_freezes || ' freezes, granted ' || g.streak_freezes END
               ) AS detail
        FROM player_progress AS p LEFT JOIN (
            SELECT player_uuid, sum(xp) AS xp, sum(coins) AS coins,
                   sum(skill_points) AS skill_points, sum(streak_freezes) AS streak_freezes
            FROM player_grants GROUP BY player_uuid
        ) AS granted USING (player_uuid)
        CROSS JOIN LATERAL (
            SELECT coalesce(granted.xp, 0) AS xp, coalesce(granted.coins, 0) AS coins,
                   coalesce(granted.skill_points, 0) AS skill_points,
                   coalesce(granted.streak_freezes, 0) AS streak_freezes
        ) AS g
        WHERE (p.xp, p.coins, p.skill_points, p.streak_freezes)
              <> (g.xp, g.coins, g.skill_points, g.streak_freezes)
    """,
    # Levels gained are grants; one that was brought along came with the opening balance.
    "a_level_is_the_highest_that_was_granted": """
        SELECT p.player_uuid::text AS subject,
               'level ' || p.level || ', granted ' || coalesce(g.level, 1) AS detail
        FROM player_progress AS p LEFT JOIN (
            SELECT player_uuid, max(source_key::integer) AS level
            FROM player_grants WHERE source_kind = 'level' GROUP BY player_uuid
        ) AS g USING (player_uuid)
        WHERE p.level > 1 AND g.level IS NULL AND NOT EXISTS (
                SELECT FROM player_grants AS o
                WHERE o.player_uuid = p.player_uuid AND o.source_kind = 'opening')
           OR p.level <> g.level
    """,
    # What xp a level is worth is lower than the xp it began with: each level gives some itself.
    "no_level_is_above_its_xp": """
        SELECT g.player_uuid::text AS subject,
               'level ' || g.level || ' with ' || g.xp || ' xp ever granted' AS detail
        FROM (
            SELECT player_uuid,
                   max(source_key::bigint) FILTER (WHERE source_kind = 'level') AS level,
                   sum(xp) FILTER (WHERE xp > 0) AS xp
            FROM player_grants GROUP BY player_uuid
        ) AS g
        WHERE g.xp < 100 * (g.level - 1) * (g.level - 1)
    """,
    "items_are_those_that_were_granted": """
        SELECT player_uuid || '/' || item AS subject,
               coalesce(i.quantity, 0) || ', granted ' || coalesce(g.quantity, 0) AS detail
        FROM player_items AS i FULL JOIN (
            SELECT player_uuid, item, count(*) AS quantity
            FROM player_grants, unnest(items) AS item
            WHERE items <> '{}' GROUP BY player_uuid, item
        ) AS g USING (player_uuid, item)
        WHERE i.quantity IS DISTINCT FROM g.quantity
    """,
    "a_reward_day_has_its_one_grant": """
        SELECT coalesce(r.player_uuid, g.player_uuid) || '/' || coalesce(r.day, g.day) AS subject,
               coalesce(r.xp || ' xp, ' || r.coins || ' coins', 'no reward') || '; granted '
               || coalesce(g.xp || ' xp, ' || g.coins || ' coins', 'nothing') AS detail
        FROM (
            SELECT player_uuid, reward_day::text AS day, experience_gained AS xp,
                   coins_gained AS coins
            FROM daily_rewards
        ) AS r FULL JOIN (
            SELECT player_uuid, source_key AS day, xp, coins
            FROM player_grants WHERE source_kind = 'daily_reward'
        ) AS g ON g.player_uuid = r.player_uuid AND g.day = r.day
        WHERE r.xp IS DISTINCT FROM g.xp OR r.coins IS DISTINCT FROM g.coins
    """,
    "the_last_reward_day_is_the_latest": """
        SELECT p.player_uuid::text AS subject,
               coalesce(p.last_reward_day::text, 'none') || ', rewarded until '
               || coalesce(r.day::text, 'never') AS detail
        FROM player_progress AS p LEFT JOIN (
            SELECT player_uuid, max(reward_day) AS day FROM daily_rewards GROUP BY player_uuid
        ) AS r USING (player_uuid)
        WHERE p.last_reward_day IS DISTINCT FROM r.day
    """,
}
