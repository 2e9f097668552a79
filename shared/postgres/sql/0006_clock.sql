-- The instant of business time where it is virtual; without a row the system clock tells it.
CREATE TABLE workflow_clock (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    instant  timestamptz NOT NULL
);
