-- The books of the sandbox provider, which takes no real money: what a bank would know. The service
-- reads none of them; its tests do, as the witness that does not depend on it.

CREATE TABLE sandbox_customers (
    reference text PRIMARY KEY,
    customer_id uuid NOT NULL UNIQUE,
    email text,
    tz text NOT NULL,
    payment_method text
);

CREATE TABLE sandbox_payments (
    key text PRIMARY KEY,
    reference text NOT NULL UNIQUE,
    customer_reference text NOT NULL REFERENCES sandbox_customers (reference),
    payment_method text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    metadata jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('succeeded', 'declined', 'pending')),
    decline_code text,
    action_url text,
    -- A pending one ends at this instant: declined with this code, else it succeeds.
    settles_at timestamptz,
    settles_declined text,
    created_at timestamptz NOT NULL,
    disputed_at timestamptz
);
CREATE INDEX sandbox_payments_of_customer ON sandbox_payments (customer_reference, payment_method);
CREATE INDEX sandbox_payments_settling ON sandbox_payments (settles_at) WHERE state = 'pending';

CREATE TABLE sandbox_refunds (
    key text PRIMARY KEY,
    payment_key text NOT NULL REFERENCES sandbox_payments (key),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    created_at timestamptz NOT NULL
);
CREATE INDEX sandbox_refunds_of_payment ON sandbox_refunds (payment_key);

-- Every charge that arrived, also one that was never answered or came while the provider was down.
CREATE TABLE sandbox_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    customer_reference text NOT NULL,
    payment_method text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX sandbox_requests_by_key ON sandbox_requests (key);
CREATE INDEX sandbox_requests_of_customer
    ON sandbox_requests (customer_reference, payment_method, at);

-- One row a webhook; an event that is told twice has two.
CREATE TABLE sandbox_webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL,
    payment_key text NOT NULL,
    body bytea NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    delivered_at timestamptz
);
CREATE INDEX sandbox_webhooks_due ON sandbox_webhooks (due_at, id) WHERE delivered_at IS NULL;

CREATE TABLE sandbox_outages (
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at)
);
