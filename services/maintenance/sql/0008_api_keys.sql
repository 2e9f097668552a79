-- Who is let in at the gateway. Of the secret only a hash; a revoked key stays, so that its name
-- and its maker can be told of what it did.

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    secret_sha256 text NOT NULL,
    scopes text[] NOT NULL,
    rate_per_second double precision,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    revoked_at timestamptz,
    revoked_by text
);
