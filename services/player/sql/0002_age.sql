-- Finds what has been kept long enough, of all players together.
CREATE INDEX game_sessions_of_age ON game_sessions ((coalesce(ended_at, started_at)))
    WHERE player_uuid IS NOT NULL AND NOT (status = 'completed' AND folded_at IS NULL);
CREATE INDEX messages_of_age ON messages (created_at);
CREATE INDEX event_logs_of_age ON event_logs (created_at);
CREATE INDEX game_sessions_of_guests ON game_sessions ((coalesce(ended_at, started_at)))
    WHERE player_uuid IS NULL;
