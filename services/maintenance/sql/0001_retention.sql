-- How long each owner keeps what: an operator's to change.
CREATE TABLE retention_policies (
    owner         text        NOT NULL,
    name          text        NOT NULL,
    -- Children before their parents.
    position      integer     NOT NULL,
    keep_seconds  bigint      NOT NULL CHECK (keep_seconds >= 3600),
    enabled       boolean     NOT NULL DEFAULT true,
    gated         boolean     NOT NULL DEFAULT false,
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_by    text        NOT NULL DEFAULT 'default',
    applied_at    timestamptz,
    overdue_since timestamptz,
    PRIMARY KEY (owner, name)
);

INSERT INTO retention_policies (owner, name, position, keep_seconds, gated) VALUES
    ('player', 'messages', 1, 2592000, true),
    ('player', 'event_logs', 2, 2592000, true),
    ('player', 'sessions', 3, 2592000, true),
    ('player', 'guest_sessions', 4, 86400, false),
    ('player', 'instances', 5, 2592000, false),
    ('player', 'outbox', 6, 604800, false),
    ('billing', 'instances', 7, 2592000, false),
    ('billing', 'outbox', 8, 604800, false),
    ('maintenance', 'instances', 9, 2592000, false),
    ('maintenance', 'outbox', 10, 604800, false);
