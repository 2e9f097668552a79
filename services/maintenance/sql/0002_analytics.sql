-- What the services told that counts, and the numbers that are made of it.

CREATE TABLE analytics_facts (
    -- The fact's own, so that one that is told again changes nothing.
    id          text        PRIMARY KEY,
    name        text        NOT NULL,
    -- Business time.
    occurred_at timestamptz NOT NULL,
    -- The player or the customer.
    person_id   uuid        NOT NULL,
    invoice_id  uuid,
    currency    text        NOT NULL,
    measures    text[]      NOT NULL,
    amounts     bigint[]    NOT NULL,
    CHECK (cardinality(measures) = cardinality(amounts))
);

CREATE INDEX analytics_facts_age ON analytics_facts (occurred_at);
CREATE INDEX analytics_facts_of_person ON analytics_facts (person_id);
CREATE INDEX analytics_facts_of_invoice ON analytics_facts (invoice_id)
    WHERE invoice_id IS NOT NULL;

-- Hours whose numbers are out of date: one row a fact, so that no fact waits for another.
CREATE TABLE analytics_marks (
    id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour timestamptz NOT NULL
);

CREATE INDEX analytics_marks_hour ON analytics_marks (hour);

CREATE TABLE rollup_hours (
    measure      text        NOT NULL,
    bucket_start timestamptz NOT NULL,
    currency     text        NOT NULL,
    value        numeric     NOT NULL,
    PRIMARY KEY (measure, bucket_start, currency)
);

CREATE INDEX rollup_hours_bucket ON rollup_hours (bucket_start);

CREATE TABLE rollup_days (LIKE rollup_hours INCLUDING ALL);

-- One row: the facts of all days before this instant have been received.
CREATE TABLE analytics_watermark (
    only_row       boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    received_until timestamptz NOT NULL
);
