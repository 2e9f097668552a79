-- Signals, controls and the notices of children; what compensation, calls and restarts remember.

ALTER TABLE workflow_instances
    ADD COLUMN rollback       text CHECK (rollback IN ('running', 'complete', 'failed')),
    -- Status that the instance takes once its compensations have run.
    ADD COLUMN ending         text,
    -- Where the last pause or resume that was obeyed stood.
    ADD COLUMN control_stream text,
    ADD COLUMN control_seq    bigint,
    -- kind.id/run of who started it.
    ADD COLUMN parent         text;

ALTER TABLE workflow_journal
    ADD COLUMN ordinal      integer NOT NULL DEFAULT 0,
    -- Machine time: when the last attempt of a call was committed.
    ADD COLUMN attempted_at timestamptz;

-- No foreign key: a signal may come before its instance.
CREATE TABLE inbox (
    seq        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text        NOT NULL,
    id         text        NOT NULL,
    message_id text        NOT NULL,
    category   text        NOT NULL CHECK (category IN ('signal', 'control', 'notice')),
    type       text        NOT NULL,
    payload    json        NOT NULL,
    actor      text,
    stream     text        NOT NULL,
    stream_seq bigint      NOT NULL,
    -- Business time.
    created_at timestamptz NOT NULL,
    -- Machine time: when the timekeeper looks after it, if nobody has read it by then.
    due_at     timestamptz NOT NULL DEFAULT clock_timestamp() + interval '4 seconds',
    wakes      integer     NOT NULL DEFAULT 0,
    -- Kept once it is read: a redelivery must find it.
    read_at    timestamptz,
    -- The sender of a signal chooses its id: it must not stand for a control's or a notice's.
    UNIQUE (kind, id, category, message_id)
);

CREATE INDEX inbox_unread ON inbox (kind, id) WHERE read_at IS NULL;
CREATE INDEX inbox_due ON inbox (due_at) WHERE read_at IS NULL;
CREATE INDEX inbox_read ON inbox (read_at) WHERE read_at IS NOT NULL;
CREATE INDEX inbox_age ON inbox (created_at) WHERE read_at IS NULL;
