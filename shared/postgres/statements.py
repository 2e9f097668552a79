"""The engine's SQL, one constant a statement."""

INSTANCE_COLUMNS = """
    i.kind, i.id, i.run, i.epoch, i.generation, i.version, i.status, i.input, i.output, i.error,
    i.actor, i.idempotency_key, i.body_hash, i.event_sequence, i.claims_without_progress,
    i.wake_at, i.created_at, i.updated_at, i.started_at, i.finished_at,
    i.rollback, i.ending, i.control_stream, i.control_seq, i.restart_stream, i.restart_seq,
    i.parent, i.trace, i.retired_at
"""

ENTRY_COLUMNS = """
    path, name, occurrence, position, type, state, attempts, ordinal, started_at, finished_at,
    due_at, extract(epoch FROM clock_timestamp() - attempted_at)::float8 AS age_seconds,
    result, error
"""

# Two statements at once would let a claim return with the journal of its predecessor, so the
# journal is never read here. The lock is tried in the statement that writes the row: a claim
# neither waits for an uncommitted row nor pays a round trip of its own (engine rules 4 and 5).
_LOCK = "WITH lock AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS held)"

_UNREAD = "SELECT FROM inbox AS b WHERE b.kind = i.kind AND b.id = i.id AND b.read_at IS NULL"

# Ended and paused instances keep their row; a lease or a wake_at to come keeps others out. Only
# the inbox opens these doors: a restart that of what has ended and is not retired, a resume that
# of what poison ended, any control that of what is paused, whatever lies there that of what sleeps.
_CLAIMABLE = f"""
    (i.status NOT IN ('complete', 'errored', 'terminated')
     OR i.retired_at IS NULL
        AND EXISTS ({_UNREAD} AND b.category = 'control' AND (b.type = 'restart'
         OR (b.type = 'resume' AND i.status = 'errored' AND i.error->>'name' = 'poisoned'))))
    AND (i.status <> 'paused' OR i.wake_at IS NOT NULL
         OR EXISTS ({_UNREAD} AND b.category = 'control'))
    AND (i.wake_at IS NULL OR i.wake_at <= $4 OR EXISTS ({_UNREAD}))
    AND (i.lease_until IS NULL OR i.lease_until <= clock_timestamp())
"""

_CLAIMED = f"""
    RETURNING {INSTANCE_COLUMNS}, i.epoch = 1 AS created, EXISTS ({_UNREAD}) AS unread,
        i.lease_until IS NOT NULL AS taken_over
"""

# A lease that ran out counts too: with NATS lost there is no redelivery to count (rule 23).
_COUNTED = """
    claims_without_progress = i.claims_without_progress
        + CASE WHEN i.lease_until IS NOT NULL THEN 1 ELSE $5 END
"""

# A row in any case, since a refusal means less while another transaction holds the instance.
CLAIM_START = f"""
    {_LOCK}, claimed AS (
    INSERT INTO workflow_instances AS i
        (kind, id, status, input, actor, idempotency_key, body_hash,
         claims_without_progress, created_at, updated_at, started_at, parent, trace)
    SELECT $2, $3, 'running', $6, $7, $8, $9, $5, $10, $4, $4, $11, $12 FROM lock WHERE held
    ON CONFLICT (kind, id) DO UPDATE SET
        epoch = i.epoch + 1, {_COUNTED}
    WHERE {_CLAIMABLE}
    {_CLAIMED})
    SELECT lock.held, claimed.* FROM lock LEFT JOIN claimed ON true
"""

CLAIM_WAKE = f"""
    {_LOCK}, claimed AS (
    UPDATE workflow_instances AS i SET
        epoch = i.epoch + 1, {_COUNTED}
    FROM lock
    WHERE lock.held AND i.kind = $2 AND i.id = $3 AND {_CLAIMABLE}
    {_CLAIMED})
    SELECT lock.held, claimed.* FROM lock LEFT JOIN claimed ON true
"""

# Claimable: what kept the claim out was over by the time that it had the lock.
REFUSAL = f"""
    SELECT i.status, i.parent, i.wake_at > $3 AS early,
           greatest(0, extract(epoch FROM i.lease_until - clock_timestamp()))::float8 AS lease_left,
           ({_CLAIMABLE.replace("$4", "$3")}) AS claimable
    FROM workflow_instances AS i WHERE i.kind = $1 AND i.id = $2
"""

LOCK = """
    SELECT pg_try_advisory_xact_lock($1) AS held,
           (SELECT epoch = $4 FROM workflow_instances WHERE kind = $2 AND id = $3) AS owned
"""

# Branches of one run work side by side, and still keep every claim out.
LOCK_SHARED = LOCK.replace("xact_lock(", "xact_lock_shared(")

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
            lease_until = CASE WHEN $11 > 0 THEN clock_timestamp() + make_interval(secs => $11) END,
            claims_without_progress = CASE WHEN $12 THEN 0 ELSE claims_without_progress END,
            output = $13, error = $14, finished_at = $15,
            run = $3, started_at = $24, rollback = $25, ending = $26, control_stream = $27,
            control_seq = $28, restart_stream = $29, restart_seq = $30
        WHERE kind = $1 AND id = $2 AND epoch = $4 AND version = $5
        RETURNING version, generation
    ), journaled AS (
        INSERT INTO workflow_journal AS j
            (kind, id, run, path, name, occurrence, position, type, state, attempts, ordinal,
             started_at, finished_at, due_at, result, error, attempted_at)
        SELECT $1, $2, $3, e.*, CASE WHEN e.state = 'calling' THEN clock_timestamp() END
        FROM fence, ROWS FROM (
            json_to_recordset($16::json) AS (
                path text, name text, occurrence integer, position integer, type text,
                state text, attempts integer, ordinal integer, started_at timestamptz,
                finished_at timestamptz, due_at timestamptz),
            unnest($17::json[], $18::json[])
        ) AS e
        ON CONFLICT (kind, id, run, path, name, occurrence) DO UPDATE SET
            state = excluded.state, attempts = excluded.attempts,
            finished_at = excluded.finished_at, due_at = excluded.due_at,
            result = excluded.result, error = excluded.error,
            attempted_at = coalesce(excluded.attempted_at, j.attempted_at)
        WHERE j.state IN ('retrying', 'calling', 'verifying', 'sleeping', 'waiting', 'started')
        RETURNING 1
    ), told AS (
        INSERT INTO outbox (message_id, source, subject, headers, body)
        SELECT m.message_id, $19, m.subject, m.headers, m.body
        FROM fence, unnest($20::text[], $21::text[], $22::json[], $23::bytea[])
            AS m(message_id, subject, headers, body)
        RETURNING 1
    )
    SELECT version, generation, (SELECT count(*) FROM journaled) AS journaled,
           (SELECT array_agg(seq) FROM inbox
            WHERE kind = $1 AND id = $2 AND read_at IS NULL) AS unread
    FROM fence
"""

# A path is "" or "3.1/0.2/…", whose first number is the position on the main path; or "undo".
KEEP_BEFORE = """
    INSERT INTO workflow_journal
        (kind, id, run, path, name, occurrence, position, type, state, attempts, ordinal,
         started_at, finished_at, due_at, result, error, attempted_at)
    SELECT kind, id, run + 1, path, name, occurrence, position, type, state, attempts, ordinal,
           started_at, finished_at, due_at, result, error, attempted_at
    FROM workflow_journal
    WHERE kind = $1 AND id = $2 AND run = $3
        AND CASE WHEN path = '' THEN position
                 WHEN path ~ '^[0-9]' THEN split_part(path, '.', 1)::integer END < $4
"""

INBOX_COLUMNS = """
    seq, message_id, category, type, payload, actor, stream, stream_seq, created_at
"""

_QUALIFIED = ", ".join(f"b.{column.strip()}" for column in INBOX_COLUMNS.split(","))

READ_INBOX = "UPDATE inbox SET read_at = clock_timestamp() WHERE seq = ANY($1::bigint[])"

UNREAD = f"""
    SELECT {INBOX_COLUMNS} FROM inbox WHERE kind = $1 AND id = $2 AND read_at IS NULL
    ORDER BY stream, stream_seq, seq
"""

KEEP_MESSAGE = """
    INSERT INTO inbox (kind, id, message_id, category, type, payload, actor, stream, stream_seq,
                       created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (kind, id, category, message_id) DO NOTHING
"""

# As TAKE_DUE below, for messages whose reader was lost; those that nobody waits for come ever less.
# What is compared with clock_timestamp(), which may differ from row to row, is never looked up in
# an index: all that is not due would be read, twice a second.
TAKE_UNREAD = """
    UPDATE inbox SET
        due_at = clock_timestamp() + make_interval(
            secs => CASE WHEN wakes < 10 THEN least(60, 4 * 2 ^ wakes) ELSE 3600 END),
        wakes = wakes + 1
    WHERE seq IN (
        SELECT seq FROM inbox WHERE read_at IS NULL AND due_at <= statement_timestamp()
        ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING kind, id
"""

# What its instance has ended without reading; a restart, or the resume of what poison ended, is
# still to be obeyed.
TAKE_STRAY = f"""
    UPDATE inbox AS b SET read_at = clock_timestamp()
    FROM workflow_instances AS i
    WHERE b.kind = $1 AND b.id = $2 AND b.read_at IS NULL AND i.kind = b.kind AND i.id = b.id
        AND i.status IN ('complete', 'errored', 'terminated')
        AND NOT (i.retired_at IS NULL AND b.category = 'control' AND (b.type = 'restart'
            OR (b.type = 'resume' AND coalesce(i.error->>'name', '') = 'poisoned')))
    RETURNING b.kind, b.id, {_QUALIFIED}
"""

# What nobody came for.
TAKE_UNCLAIMED = f"""
    UPDATE inbox AS b SET read_at = clock_timestamp()
    WHERE b.seq IN (
        SELECT o.seq FROM inbox AS o
        WHERE o.read_at IS NULL AND o.created_at < $1 AND NOT EXISTS (
            SELECT FROM workflow_instances AS i WHERE i.kind = o.kind AND i.id = o.id)
        ORDER BY o.created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING b.kind, b.id, {_QUALIFIED}
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
        WHERE due_clock = 'machine' AND due_at <= statement_timestamp()
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
