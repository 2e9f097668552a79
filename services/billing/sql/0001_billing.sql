-- Customers, what they subscribe to, what they owe and paid. Every instant is business time and
-- written by the service. Amounts are minor units of the currency beside them.

CREATE TABLE customers (
    id uuid PRIMARY KEY,
    external_id text UNIQUE,
    -- NULL once the person is anonymised.
    email text,
    tz text NOT NULL DEFAULT 'UTC',
    currency text NOT NULL,
    payment_method text,
    -- Counts changes of what the provider is told; `synced_version` is what it was told last.
    version bigint NOT NULL DEFAULT 1,
    synced_version bigint NOT NULL DEFAULT 0,
    provider_reference text,
    created_at timestamptz NOT NULL,
    anonymised_at timestamptz
);

CREATE TABLE plans (
    id text PRIMARY KEY,
    name text NOT NULL,
    price_minor bigint NOT NULL CHECK (price_minor > 0),
    currency text NOT NULL,
    interval text NOT NULL CHECK (interval IN ('month', 'year')),
    -- NULL: unlimited.
    limit_api_calls bigint CHECK (limit_api_calls >= 0),
    limit_storage_bytes bigint CHECK (limit_storage_bytes >= 0),
    trial_days integer NOT NULL DEFAULT 0 CHECK (trial_days >= 0),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL
);

CREATE TABLE subscriptions (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers (id),
    plan_id text NOT NULL REFERENCES plans (id),
    status text NOT NULL
        CHECK (status IN ('trialing', 'incomplete', 'active', 'past_due', 'canceled')),
    -- The first anchor on the customer's own clock on the wall, and how many intervals after it the
    -- current period ends: each end is computed from the anchor, so that no clamping adds up.
    anchor_local timestamp NOT NULL,
    anchor_day smallint GENERATED ALWAYS AS (extract(day FROM anchor_local)::smallint) STORED,
    periods integer NOT NULL DEFAULT 0,
    current_period_start timestamptz NOT NULL,
    current_period_end timestamptz NOT NULL CHECK (current_period_end >= current_period_start),
    trial_end timestamptz,
    cancel_at_period_end boolean NOT NULL DEFAULT false,
    -- First definitive failure of the open invoice.
    past_due_since timestamptz,
    canceled_at timestamptz,
    cancel_reason text,
    cleaned_at timestamptz,
    -- When the customer's run has something to do about it next; NULL: never.
    next_look_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    CHECK ((status = 'canceled') = (canceled_at IS NOT NULL)),
    CHECK (status <> 'past_due' OR past_due_since IS NOT NULL)
);
CREATE INDEX subscriptions_of_customer ON subscriptions (customer_id, created_at);
CREATE INDEX subscriptions_of_plan ON subscriptions (plan_id);
CREATE INDEX subscriptions_due ON subscriptions (next_look_at, customer_id)
    WHERE next_look_at IS NOT NULL;
CREATE INDEX subscriptions_page ON subscriptions (created_at, id);

CREATE TABLE subscription_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES subscriptions (id),
    version bigint NOT NULL,
    name text NOT NULL,
    previous_status text NOT NULL,
    status text NOT NULL,
    actor text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    UNIQUE (subscription_id, version)
);

-- An invoice holds the state of its saga: what the renewal workflow, webhooks and operators do to
-- it goes through the same pure machine, under its row lock.
CREATE TABLE invoices (
    id uuid PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES subscriptions (id),
    customer_id uuid NOT NULL REFERENCES customers (id),
    plan_id text NOT NULL REFERENCES plans (id),
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL CHECK (period_end > period_start),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'open', 'paid', 'void', 'uncollectible')),
    opened_at timestamptz NOT NULL,
    paid_at timestamptz,
    closed_at timestamptz,
    -- The saga: definitive failures of automatic attempts, whether automatic ones may go on, when
    -- the last one was sent, who asked for one at once, a chargeback nobody has decided on.
    failures integer NOT NULL DEFAULT 0,
    automatic boolean NOT NULL DEFAULT true,
    last_automatic_at timestamptz,
    requested_by text,
    disputed boolean NOT NULL DEFAULT false,
    needs_operator boolean NOT NULL DEFAULT false,
    reopened integer NOT NULL DEFAULT 0,
    UNIQUE (subscription_id, period_start)
);
-- One open invoice at a time, beside those that a chargeback opened again.
CREATE UNIQUE INDEX invoices_open ON invoices (subscription_id)
    WHERE state = 'open' AND paid_at IS NULL;
CREATE INDEX invoices_of_customer ON invoices (customer_id, opened_at, id);
CREATE INDEX invoices_needing_operator ON invoices (opened_at) WHERE needs_operator;

CREATE TABLE payment_attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices (id),
    number integer NOT NULL,
    provider text NOT NULL,
    provider_key text NOT NULL UNIQUE,
    provider_reference text,
    initiator text NOT NULL CHECK (initiator IN ('cycle', 'dunning', 'customer', 'admin')),
    payment_method text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('submitted', 'pending', 'unknown', 'not_sent',
                                         'succeeded', 'declined', 'void')),
    decline_code text,
    decline_class text CHECK (decline_class IN ('hard', 'soft')),
    action_url text,
    sent_at timestamptz NOT NULL,
    sends integer NOT NULL DEFAULT 1,
    -- Of an unknown or pending one: since when, look-ups made, look-ups that found nothing.
    since timestamptz,
    looks integer NOT NULL DEFAULT 0,
    not_found integer NOT NULL DEFAULT 0,
    -- Money that came for a canceled subscription or a paid period goes back under a key of its own.
    refund_state text CHECK (refund_state IN ('due', 'refunded', 'failed')),
    refund_reason text CHECK (refund_reason IN ('surplus', 'requested')),
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    UNIQUE (invoice_id, number)
);
-- Never two attempts in flight.
CREATE UNIQUE INDEX payment_attempts_unfinished ON payment_attempts (invoice_id)
    WHERE state IN ('submitted', 'pending', 'unknown', 'not_sent');
CREATE INDEX payment_attempts_by_reference ON payment_attempts (provider, provider_reference)
    WHERE provider_reference IS NOT NULL;

-- Double entry: the entries of one transaction sum to zero, debits above, credits below it.
CREATE TABLE ledger_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_key text NOT NULL,
    account text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    currency text NOT NULL,
    customer_id uuid NOT NULL REFERENCES customers (id),
    invoice_id uuid REFERENCES invoices (id),
    created_at timestamptz NOT NULL,
    -- What is written down twice is written down once.
    UNIQUE (transaction_key, account)
);
CREATE INDEX ledger_entries_of_invoice ON ledger_entries (invoice_id);
CREATE INDEX ledger_entries_of_account ON ledger_entries (account, currency) INCLUDE (amount_minor);

CREATE TABLE provider_events (
    provider text NOT NULL,
    event_id text NOT NULL,
    kind text,
    payment_key text,
    body jsonb NOT NULL,
    -- NULL: parked, since the attempt it is about is not known yet.
    applied_at timestamptz,
    outcome text,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX provider_events_parked ON provider_events (provider, payment_key)
    WHERE applied_at IS NULL;

-- Use is counted once per event, in the customer's subscription period and its day in UTC.
CREATE TABLE usage_events (
    event_id text PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers (id),
    metric text NOT NULL CHECK (metric IN ('api_calls', 'storage_bytes')),
    quantity bigint NOT NULL CHECK (quantity >= 0),
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX usage_events_of_customer ON usage_events (customer_id, metric, at);

CREATE TABLE usage_gauges (
    customer_id uuid NOT NULL REFERENCES customers (id),
    metric text NOT NULL,
    value bigint NOT NULL CHECK (value >= 0),
    at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, metric)
);

CREATE TABLE usage_days (
    customer_id uuid NOT NULL REFERENCES customers (id),
    metric text NOT NULL,
    day date NOT NULL,
    -- Of a counter its sum, of a gauge its last value.
    value bigint NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, metric, day)
);
