-- What the operators were last told of each component.

CREATE TABLE health_told (
    component text        PRIMARY KEY,
    -- Counts its alerts. An alert and its recovery have one number.
    incident  integer     NOT NULL CHECK (incident > 0),
    recovered boolean     NOT NULL,
    -- Machine time.
    told_at   timestamptz NOT NULL
);
