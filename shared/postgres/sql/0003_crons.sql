-- What starts instances at nominal times (engine rule 28). Instants are business time.

CREATE TABLE crons (
    name       text        PRIMARY KEY,
    kind       text        NOT NULL,
    input      json        NOT NULL,
    expression text        NOT NULL,
    time_zone  text        NOT NULL,
    -- Nominal times: of the next start, and of the last one.
    next_at    timestamptz NOT NULL,
    last_at    timestamptz,
    -- An operator's, which a deployment leaves as it is.
    paused_at  timestamptz,
    paused_by  text,
    CHECK ((paused_at IS NULL) = (paused_by IS NULL))
);

CREATE INDEX crons_next ON crons (next_at) WHERE paused_at IS NULL;

-- One row: which revision of the declarations the rows above are.
CREATE TABLE cron_revision (
    revision integer NOT NULL
);

INSERT INTO cron_revision (revision) VALUES (0);
