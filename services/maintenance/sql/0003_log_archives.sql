-- What went into the object store, so that the loss of the one is seen in the other.

CREATE TABLE log_archives (
    name text PRIMARY KEY,
    service text NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    gzip_sha256 text NOT NULL,
    verified_at timestamptz NOT NULL
);
