"""The engine's SQL, one constant a statement."""

INSTANCE_COLUMNS = """
    i.kind, i.id, i.run, i.epoch, i.generation, i.version, i.status, i.input, i.output, i.error,
    i.actor, i.idempotency_key, i.body_hash, i.event_sequence, i.claims_without_progress,
    i.wake_at, i.created_at, i.updated_at, i.started_at, i.finished_at, i.retired_at
"""

ENTRY_COLUMNS = """
    path, name, occurrence, position, type, state, attempts, started_at, finished_at, due_at,
    result, error
"""

# Two statements at once would let a claim return with the journal of its predecessor, so the
# journal is never read here. The lock is tried in the statement that writes the row: a claim
# neither waits for an uncommitted row nor pays a round trip of its own (engine rules 4 and 5).
_LOCK = "WITH lock AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS held)"

# Ended and paused instances keep their row; a lease or a wake_at to come keeps others out.
_CLAIMABLE = """
    i.status NOT IN ('complete', 'errored', 'terminated')
    AND (i.status <> 'paused' OR i.wake_at IS NOT NULL)
    AND (i.wake_at IS NULL OR i.wake_at <= $4)
    AND (i.lease_until IS NULL OR i.lease_until <= clock_timestamp())
"""

_CLAIMED = f"""
    RETURNING {INSTANCE_COLUMNS}, i.epoch = 1 AS created
"""

CLAIM_START = f"""
    {_LOCK}
    INSERT INTO workflow_instances AS i
        (kind, id, status, input, actor, idempotency_key, body_hash,
         claims_without_progress, created_at, updated_at, started_at)
    SELECT $2, $3, 'running', $6, $7, $8, $9, $5, $10, $4, $4 FROM lock WHERE held
    ON CONFLICT (kind, id) DO UPDATE SET
        epoch = i.epoch + 1,
        claims_without_progress = i.claims_without_progress + $5
    WHERE {_CLAIMABLE}
    {_CLAIMED}, i.lease_until IS NOT NULL AS taken_over
"""

CLAIM_WAKE = f"""
    {_LOCK}
    UPDATE workflow_instances AS i SET
        epoch = i.epoch + 1,
        claims_without_progress = i.claims_without_progress + $5
    FROM lock
    WHERE lock.held AND i.kind = $2 AND i.id = $3 AND {_CLAIMABLE}
    {_CLAIMED}, i.lease_until IS NOT NULL AS taken_over
"""

REFUSAL = """
    SELECT status, wake_at > $3 AS early,
           greatest(0, extract(epoch FROM lease_until - clock_timestamp()))::float8 AS lease_left
    FROM workflow_instances WHERE kind = $1 AND id = $2
"""

LOCK = """
    SELECT pg_try_advisory_xact_lock($1) AS held,
           (SELECT epoch = $4 FROM workflow_instances WHERE kind = $2 AND id = $3) AS owned
"""

ALLOW_IDLE = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"

JOURNAL = f"""
    SELECT {ENTRY_COLUMNS} FROM workflow_journal
    WHERE kind = $1 AND id = $2 AND run = $3 ORDER BY path, position
"""

# The fence: the epoch is this claim's and the version is the last one this claim wrote. Zero rows
# mean a later claim, or an earlier COMMIT of ours that took effect without our knowing. What
# hangs on it is written by the same statement, so it costs one round trip. The journal's rows come
# as one JSON value, since asyncpg looks at each element of an array parameter; but results and
# errors as arrays, since a JSON value that is taken apart may hold no \u0000.
CHECKPOINT = """
    WITH fence AS (
        UPDATE workflow_instances SET
            version = version + 1, status = $6, updated_at = $7, event_sequence = $8,
            wake_at = $9,
            due_at = CASE WHEN $11::float8 IS NULL THEN $10
                          ELSE clock_timestamp() + make_interval(secs => $11 + 1) END,
            due_clock = CASE WHEN $11 IS NOT NULL THEN 'machine'
                             WHEN $10::timestamptz IS NOT NULL THEN 'business' END,
            wakes = 0,
            lease_until = clock_timestamp() + make_interval(secs => $11),
            claims_without_progress = CASE WHEN $12 THEN 0 ELSE claims_without_progress END,
            output = $13, error = $14, finished_at = $15
        WHERE kind = $1 AND id = $2 AND epoch = $4 AND version = $5
        RETURNING version, generation
    ), journaled AS (
        INSERT INTO workflow_journal AS j
            (kind, id, run, path, name, occurrence, position, type, state, attempts,
             started_at, finished_at, due_at, result, error)
        SELECT $1, $2, $3, e.*
        FROM fence, ROWS FROM (
            json_to_recordset($16::json) AS (
                path text, name text, occurrence integer, position integer, type text,
                state text, attempts integer, started_at timestamptz, finished_at timestamptz,
                due_at timestamptz),
            unnest($17::json[], $18::json[])
        ) AS e
        ON CONFLICT (kind, id, run, path, name, occurrence) DO UPDATE SET
            state = excluded.state, attempts = excluded.attempts,
            finished_at = excluded.finished_at, due_at = excluded.due_at,
            result = excluded.result, error = excluded.error
        WHERE j.state IN ('retrying', 'sleeping')
        RETURNING 1
    ), told AS (
        INSERT INTO outbox (message_id, source, subject, headers, body)
        SELECT m.message_id, $19, m.subject, m.headers, m.body
        FROM fence, unnest($20::text[], $21::text[], $22::json[], $23::bytea[])
            AS m(message_id, subject, headers, body)
        RETURNING 1
    )
    SELECT version, generation, (SELECT count(*) FROM journaled) AS journaled FROM fence
"""

LOAD = f"SELECT {INSTANCE_COLUMNS} FROM workflow_instances AS i WHERE kind = $1 AND id = $2"

UNSENT_OF_SOURCE = """
    SELECT message_id, subject, headers, body FROM outbox
    WHERE source = $1 AND sent_at IS NULL ORDER BY seq
"""

# SKIP LOCKED lets replicas relay side by side.
UNSENT = """
    SELECT message_id, subject, headers, body FROM outbox
    WHERE sent_at IS NULL AND created_at < clock_timestamp() - make_interval(secs => $1)
    ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED
"""

MARK_SENT = """
    UPDATE outbox SET sent_at = clock_timestamp()
    WHERE message_id = ANY($1::text[]) AND sent_at IS NULL
"""

UNSENT_COUNT = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"

ENQUEUE = """
    INSERT INTO outbox (message_id, source, subject, headers, body)
    SELECT m.message_id, $1, m.subject, m.headers, m.body
    FROM unnest($2::text[], $3::text[], $4::json[], $5::bytea[])
        AS m(message_id, subject, headers, body)
    ON CONFLICT (message_id) DO NOTHING
"""

# What is taken is moved forward on machine time, with backoff, by the statement that takes it, so
# that a wake that is not carried out floods nobody and is not forgotten (engine rule 1). From 4 s:
# wakes that only wait for a worker would else be doubled and trebled.
TAKE_DUE = """
    WITH on_business AS (
        SELECT kind, id FROM workflow_instances
        WHERE due_clock = 'business' AND due_at <= $1
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ), on_machine AS (
        SELECT kind, id FROM workflow_instances
        WHERE due_clock = 'machine' AND due_at <= clock_timestamp()
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ), due AS (
        SELECT * FROM on_business UNION ALL SELECT * FROM on_machine
    )
    UPDATE workflow_instances AS i SET
        due_clock = 'machine',
        due_at = clock_timestamp() + make_interval(secs => least(60, 4 * 2 ^ least(i.wakes, 4))),
        wakes = i.wakes + 1
    FROM due WHERE i.kind = due.kind AND i.id = due.id
    RETURNING i.kind, i.id
"""

BURY = """
    INSERT INTO dead_letters (origin, subject, headers, body, reason, detail, occurred_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (origin) DO NOTHING
"""

KNOWN_RESULT = "SELECT body_hash, reply FROM request_results WHERE request = $1 AND key = $2"

LOCK_REQUEST = "SELECT pg_advisory_xact_lock($1)"

KEEP_RESULT = """
    INSERT INTO request_results (request, key, body_hash, reply) VALUES ($1, $2, $3, $4)
"""
