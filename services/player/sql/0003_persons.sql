-- A person who is being erased, or is gone. On the row whose lock serialises all that happens to a
-- player, since who waited for that lock sees no other table anew.

ALTER TABLE player_progress
    ADD COLUMN held_by   text,
    ADD COLUMN erased_at timestamptz;
