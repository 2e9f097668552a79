-- What the last look at each service's invariants and statuses found. Every instant is machine time.

CREATE TABLE invariant_results (
    service           text        PRIMARY KEY,
    next_check_at     timestamptz NOT NULL,
    -- When the last result that is kept was asked for: an older one that comes late is dropped.
    asked_at          timestamptz,
    counts            jsonb       NOT NULL DEFAULT '{}',
    -- Where the walk over the status keys goes on; NULL for its beginning.
    status_cursor     jsonb,
    -- Ever since.
    statuses_checked  bigint      NOT NULL DEFAULT 0,
    statuses_differed bigint      NOT NULL DEFAULT 0,
    statuses_mended   bigint      NOT NULL DEFAULT 0
);

CREATE TABLE broken_invariants (
    service   text        NOT NULL REFERENCES invariant_results (service) ON DELETE CASCADE,
    invariant text        NOT NULL,
    subject   text        NOT NULL,
    detail    text        NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (service, invariant, subject)
);
