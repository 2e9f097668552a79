-- The engine's own tables, in the schema of each service.

CREATE TABLE workflow_instances (
    kind                    text        NOT NULL,
    id                      text        NOT NULL,
    run                     integer     NOT NULL DEFAULT 1,
    epoch                   bigint      NOT NULL DEFAULT 1,
    generation              integer     NOT NULL DEFAULT 1,
    version                 bigint      NOT NULL DEFAULT 0,
    status                  text        NOT NULL,
    input                   json        NOT NULL,
    output                  json,
    error                   json,
    actor                   text,
    idempotency_key         text,
    body_hash               text,
    event_sequence          bigint      NOT NULL DEFAULT 0,
    claims_without_progress integer     NOT NULL DEFAULT 0,
    -- Business time: when the instance goes on.
    wake_at                 timestamptz,
    -- When someone must look at it, and on which clock: 'business' or 'machine' (engine rule 1).
    due_at                  timestamptz,
    due_clock               text        CHECK (due_clock IN ('business', 'machine')),
    wakes                   integer     NOT NULL DEFAULT 0,
    -- Machine time.
    lease_until             timestamptz,
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    started_at              timestamptz NOT NULL,
    finished_at             timestamptz,
    PRIMARY KEY (kind, id),
    CHECK ((due_at IS NULL) = (due_clock IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX workflow_instances_due ON workflow_instances (due_clock, due_at)
    WHERE due_at IS NOT NULL;

CREATE TABLE workflow_journal (
    kind        text        NOT NULL,
    id          text        NOT NULL,
    run         integer     NOT NULL,
    path        text        NOT NULL,
    name        text        NOT NULL,
    occurrence  integer     NOT NULL,
    position    integer     NOT NULL,
    type        text        NOT NULL,
    state       text        NOT NULL,
    attempts    integer     NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    due_at      timestamptz,
    result      json,
    error       json,
    PRIMARY KEY (kind, id, run, path, name, occurrence)
);

CREATE TABLE outbox (
    seq        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text        NOT NULL UNIQUE,
    -- The instance or the request that wrote it.
    source     text        NOT NULL,
    subject    text        NOT NULL,
    headers    json        NOT NULL,
    body       bytea       NOT NULL,
    -- Machine time.
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at    timestamptz
);

CREATE INDEX outbox_unsent ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_unsent_of_source ON outbox (source) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE dead_letters (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin      text        NOT NULL UNIQUE,
    subject     text        NOT NULL,
    headers     json        NOT NULL,
    body        bytea       NOT NULL,
    reason      text        NOT NULL,
    detail      text        NOT NULL,
    occurred_at timestamptz NOT NULL
);

-- What a request with an idempotency key answered, so that its repetition answers the same.
CREATE TABLE request_results (
    request    text        NOT NULL,
    key        text        NOT NULL,
    body_hash  bytea       NOT NULL,
    reply      bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (request, key)
);

CREATE INDEX request_results_age ON request_results (created_at);
