"""What must hold at every moment, each as a statement that finds what breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from shared.messages.invariants import Violation, Violations
from shared.workflow.ports import Connection

Invariants = Mapping[str, str]
"""By name a statement that selects `subject` and `detail` of what breaks it; `$1` is the instant
of asking, in each that compares with it."""

MOST = 100
"""Of each that are named."""

# Each goes by an index over what is unfinished, unsent or due, whatever has been kept beside it.
# What the foreign key, a CHECK or the checkpoint's own fence refuses is not looked for.
ENGINE: Invariants = {
    # Only a pause, or a wait without a time-out, needs nobody to look (engine rule 1).
    "an_unfinished_instance_is_looked_after": """
        SELECT kind || '.' || id AS subject, status || ' and never due' AS detail
        FROM workflow_instances
        WHERE due_at IS NULL AND finished_at IS NULL
          AND status IN ('queued', 'running', 'complete', 'errored', 'terminated')
    """,
    # Whoever takes it moves it on, so that an old one was seen by no timekeeper.
    "what_is_due_is_taken": """
        SELECT kind || '.' || id AS subject, status || ', due at ' || due_at AS detail
        FROM workflow_instances
        WHERE due_clock = 'business' AND due_at < $1::timestamptz - interval '10 minutes'
           OR due_clock = 'machine' AND due_at < clock_timestamp() - interval '10 minutes'
    """,
    "what_was_committed_is_published": """
        SELECT message_id AS subject, subject || ' since ' || created_at AS detail
        FROM outbox
        WHERE sent_at IS NULL AND created_at < clock_timestamp() - interval '10 minutes'
    """,
}


class InvariantStore:
    """Looks for what must never be; takes no lock, and each statement sees one snapshot."""

    def __init__(self, connection: Connection, invariants: Invariants):
        self._connection = connection
        self._invariants = invariants

    async def broken(self, now: datetime) -> Violations:
        """What breaks them."""
        found: list[Violation] = []
        counts = Counter[str]()
        for name, statement in self._invariants.items():
            query = f"""
                SELECT subject, detail, count(*) OVER () AS count FROM ({statement}) AS broken
                ORDER BY subject LIMIT {MOST}
            """  # noqa: S608 - composed of constants of the stores alone
            rows = await self._connection.fetch(query, *((now,) if "$1" in statement else ()))
            for row in rows:
                found.append(
                    Violation(invariant=name, subject=row["subject"], detail=row["detail"])
                )
                counts[name] = row["count"]
        return Violations(violations=tuple(found), counts=dict(counts))
