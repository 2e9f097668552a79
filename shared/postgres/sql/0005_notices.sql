-- What somebody is told, and what became of telling them on each channel.

CREATE TABLE notices (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text        NOT NULL,
    recipient       text        NOT NULL,
    key             text        NOT NULL,
    data            json        NOT NULL,
    -- Business time.
    created_at      timestamptz NOT NULL,
    acknowledged_at timestamptz,
    -- Machine time: when its letters were written.
    routed_at       timestamptz,
    UNIQUE (name, key)
);

CREATE INDEX notices_of_recipient ON notices (recipient, id);
CREATE INDEX notices_unrouted ON notices (id) WHERE routed_at IS NULL;

CREATE TABLE notice_letters (
    notice_id       bigint      NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    channel         text        NOT NULL,
    state           text        NOT NULL DEFAULT 'pending'
                                CHECK (state IN ('pending', 'sent', 'failed')),
    attempts        integer     NOT NULL DEFAULT 0,
    -- Machine time; while an attempt is made, when it is given up.
    next_attempt_at timestamptz DEFAULT clock_timestamp(),
    sent_at         timestamptz,
    error           text,
    PRIMARY KEY (notice_id, channel),
    CHECK ((next_attempt_at IS NOT NULL) = (state = 'pending')),
    CHECK ((sent_at IS NOT NULL) = (state = 'sent'))
);

CREATE INDEX notice_letters_due ON notice_letters (channel, next_attempt_at)
    WHERE state = 'pending';
