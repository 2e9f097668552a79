-- Who was erased, so that it can be repeated after a restore, and whose exports lie in the bucket.
-- Ids alone: none of them leads to a person any more, or says more than that there is one.

CREATE TABLE person_erasures (
    workflow_id text        PRIMARY KEY,
    player_id   uuid,
    customer_id uuid,
    -- Business time.
    erased_at   timestamptz NOT NULL,
    CHECK (player_id IS NOT NULL OR customer_id IS NOT NULL)
);
CREATE INDEX person_erasures_age ON person_erasures (erased_at, workflow_id);
CREATE INDEX person_erasures_of_player ON person_erasures (player_id);
CREATE INDEX person_erasures_of_customer ON person_erasures (customer_id);

CREATE TABLE person_exports (
    workflow_id text        PRIMARY KEY,
    player_id   uuid,
    customer_id uuid,
    exported_at timestamptz NOT NULL
);
CREATE INDEX person_exports_of_player ON person_exports (player_id);
CREATE INDEX person_exports_of_customer ON person_exports (customer_id);
CREATE INDEX person_exports_age ON person_exports (exported_at);
