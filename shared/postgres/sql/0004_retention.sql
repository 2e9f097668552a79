-- What retention takes away, and when; what became of dead letters.

ALTER TABLE workflow_instances
    -- Business time: when its journal and its bodies were deleted.
    ADD COLUMN retired_at     timestamptz,
    -- The status key lives in another store, so that it is gone is told apart.
    ADD COLUMN status_deleted boolean NOT NULL DEFAULT false;

CREATE INDEX workflow_instances_finished ON workflow_instances (finished_at)
    WHERE finished_at IS NOT NULL AND retired_at IS NULL;
CREATE INDEX workflow_instances_shown ON workflow_instances (retired_at)
    WHERE retired_at IS NOT NULL AND NOT status_deleted;
CREATE INDEX workflow_instances_retired ON workflow_instances (retired_at)
    WHERE retired_at IS NOT NULL AND status_deleted;

ALTER TABLE dead_letters
    ADD COLUMN settlement text CHECK (settlement IN ('replayed', 'discarded')),
    ADD COLUMN settled_at timestamptz,
    ADD COLUMN settled_by text;

CREATE INDEX dead_letters_open ON dead_letters (id) WHERE settled_at IS NULL;
CREATE INDEX dead_letters_age ON dead_letters (occurred_at);
