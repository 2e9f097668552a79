-- Players, their ledger and what follows from it. Every instant is written by the service.

CREATE TABLE players (
    uuid uuid PRIMARY KEY,
    external_id text UNIQUE,
    email text,
    is_active boolean NOT NULL DEFAULT true,
    tz text NOT NULL DEFAULT 'UTC',
    last_login timestamptz,
    created_at timestamptz NOT NULL
);

-- Its row lock is what serialises everything that happens to one player.
CREATE TABLE player_progress (
    player_uuid uuid PRIMARY KEY REFERENCES players (uuid),
    xp bigint NOT NULL DEFAULT 0 CHECK (xp >= 0),
    level integer NOT NULL DEFAULT 1 CHECK (level >= 1),
    coins bigint NOT NULL DEFAULT 0 CHECK (coins >= 0),
    skill_points bigint NOT NULL DEFAULT 0 CHECK (skill_points >= 0),
    streak_current integer NOT NULL DEFAULT 0 CHECK (streak_current >= 0),
    streak_best integer NOT NULL DEFAULT 0 CHECK (streak_best >= streak_current),
    streak_freezes integer NOT NULL DEFAULT 0 CHECK (streak_freezes >= 0),
    last_reward_day date,
    version bigint NOT NULL DEFAULT 0
);

-- The ledger: balances are its sums, and its unique key is what gives each source once.
CREATE TABLE player_grants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    source_kind text NOT NULL,
    source_key text NOT NULL,
    xp bigint NOT NULL,
    coins bigint NOT NULL,
    skill_points bigint NOT NULL,
    streak_freezes integer NOT NULL,
    items text[] NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    day date,
    shortfall jsonb,
    created_at timestamptz NOT NULL,
    UNIQUE (player_uuid, source_kind, source_key)
);
CREATE INDEX player_grants_history ON player_grants (player_uuid, id) WHERE xp <> 0;
CREATE INDEX player_grants_of_day ON player_grants (player_uuid, source_kind, day)
    INCLUDE (xp) WHERE day IS NOT NULL;

CREATE TABLE daily_rewards (
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    reward_day date NOT NULL,
    experience_gained integer NOT NULL,
    coins_gained integer NOT NULL,
    streak integer NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (player_uuid, reward_day)
);

CREATE TABLE achievements (
    id text PRIMARY KEY,
    name text NOT NULL,
    type text NOT NULL,
    threshold bigint NOT NULL CHECK (threshold >= 1),
    reward jsonb NOT NULL DEFAULT '{}',
    hidden boolean NOT NULL DEFAULT false,
    active boolean NOT NULL DEFAULT true
);

CREATE TABLE player_achievements (
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    achievement_id text NOT NULL REFERENCES achievements (id),
    unlocked_at timestamptz NOT NULL,
    PRIMARY KEY (player_uuid, achievement_id)
);

CREATE TABLE level_unlocks (
    level integer NOT NULL CHECK (level >= 2),
    feature text NOT NULL,
    PRIMARY KEY (level, feature)
);

CREATE TABLE player_unlocks (
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    feature text NOT NULL,
    level integer NOT NULL,
    unlocked_at timestamptz NOT NULL,
    PRIMARY KEY (player_uuid, feature)
);

CREATE TABLE player_items (
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    item text NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (player_uuid, item)
);

-- Lifetime counters, never computed again from rows that retention deletes.
CREATE TABLE player_stats (
    player_uuid uuid PRIMARY KEY REFERENCES players (uuid),
    sessions_completed bigint NOT NULL DEFAULT 0,
    answered bigint NOT NULL DEFAULT 0,
    correct bigint NOT NULL DEFAULT 0,
    best_streak integer NOT NULL DEFAULT 0,
    play_seconds bigint NOT NULL DEFAULT 0,
    score_sum bigint NOT NULL DEFAULT 0
);

-- xp NULL: as scored. daily_cap NULL: none.
CREATE TABLE xp_rules (
    event text PRIMARY KEY,
    xp integer CHECK (xp >= 0),
    daily_cap integer CHECK (daily_cap >= 0)
);

CREATE TABLE game_sessions (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    player_uuid uuid REFERENCES players (uuid),
    status text NOT NULL CHECK (status IN ('active', 'abandoned', 'completed')),
    difficulty text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= started_at),
    score integer NOT NULL,
    correct integer NOT NULL,
    answered integer NOT NULL CHECK (answered >= correct),
    best_streak integer NOT NULL,
    folded_at timestamptz
);
CREATE INDEX game_sessions_of_player ON game_sessions (player_uuid, number);
CREATE INDEX game_sessions_age
    ON game_sessions (player_uuid, (coalesce(ended_at, started_at)));
CREATE INDEX game_sessions_unfolded ON game_sessions (player_uuid)
    WHERE status = 'completed' AND folded_at IS NULL;

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    text text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX messages_age ON messages (player_uuid, created_at);

-- Facts that leave no row elsewhere; the unique key tells a repeat.
CREATE TABLE event_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    event text NOT NULL,
    source_key text NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (player_uuid, event, source_key)
);
CREATE INDEX event_logs_age ON event_logs (player_uuid, created_at);

CREATE TABLE notifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    player_uuid uuid NOT NULL REFERENCES players (uuid),
    type text NOT NULL,
    source_key text NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    acknowledged_at timestamptz,
    UNIQUE (player_uuid, type, source_key)
);
CREATE INDEX notifications_inbox ON notifications (player_uuid, id);

INSERT INTO xp_rules (event, xp, daily_cap) VALUES
    ('chat_message', 1, NULL),
    ('npc_interaction', 5, NULL),
    ('daily_login', 10, NULL),
    ('first_login', 100, NULL),
    ('create_npc', 25, NULL),
    ('lobby_participation', 2, NULL),
    ('session', NULL, NULL);

INSERT INTO level_unlocks (level, feature) VALUES
    (2, 'avatar_editor'),
    (3, 'daily_quests'),
    (4, 'private_chat'),
    (5, 'ranked_sessions'),
    (6, 'npc_companion'),
    (7, 'item_trading'),
    (8, 'tournaments'),
    (9, 'npc_workshop'),
    (10, 'private_lobby'),
    (20, 'mentor_lobby'),
    (30, 'guild_hall'),
    (40, 'custom_titles'),
    (50, 'expert_arena'),
    (60, 'npc_dialogues'),
    (70, 'guild_tournaments'),
    (80, 'world_map_editor'),
    (90, 'council_vote'),
    (100, 'master_arena');

INSERT INTO achievements (id, name, type, threshold, reward) VALUES
    ('novice', 'Novice', 'level', 5, '{}'),
    ('apprentice', 'Apprentice', 'level', 10, '{}'),
    ('skilled', 'Skilled', 'level', 25, '{}'),
    ('expert', 'Expert', 'level', 50, '{}'),
    ('master', 'Master', 'level', 100, '{}'),
    ('seasoned', 'Seasoned', 'experience', 25000, '{"coins": 100}'),
    ('sage', 'Sage', 'experience', 100000, '{"coins": 500}'),
    ('luminary', 'Luminary', 'experience', 1000000, '{"coins": 2500}'),
    ('regular', 'Regular', 'sessions', 10, '{"items": ["bronze_medal"]}'),
    ('veteran', 'Veteran', 'sessions', 100, '{"xp": 250, "items": ["silver_medal"]}'),
    ('legend', 'Legend', 'sessions', 1000, '{"xp": 1000, "items": ["gold_medal"]}'),
    ('week_in_a_row', 'Week in a row', 'streak', 7, '{"items": ["ember"]}'),
    ('month_in_a_row', 'Month in a row', 'streak', 30, '{"items": ["flame"]}'),
    ('year_in_a_row', 'Year in a row', 'streak', 365, '{"xp": 1000, "items": ["everlasting_flame"]}'),
    ('sharp', 'Sharp', 'accuracy', 80, '{"items": ["bronze_arrow"]}'),
    ('precise', 'Precise', 'accuracy', 90, '{"items": ["silver_arrow"]}'),
    ('flawless', 'Flawless', 'accuracy', 100, '{"items": ["gold_arrow"]}');
