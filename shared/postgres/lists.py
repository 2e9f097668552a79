"""Pages of instances, and the timeline of one, on the connection of whoever reads them."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.messages.instances import (
    LISTED,
    InstancesQuery,
    InstanceSummary,
    Timeline,
    TimelineEntry,
    TimelineQuery,
)
from shared.messages.workflows import ErrorInfo, Status
from shared.workflow.ports import Connection

# Each kind and status is a range of one index, of which a page needs the first rows alone. An id
# that several kinds have at one instant is all that is read in vain.
PAGE = """
    SELECT found.* FROM unnest($1::text[]) AS k(kind), unnest($2::text[]) AS s(status), LATERAL (
        SELECT i.id AS workflow_id, i.kind, i.status, i.created_at, i.updated_at, i.started_at,
               i.finished_at, i.wake_at, i.error, i.rollback
        FROM workflow_instances AS i
        WHERE i.kind = k.kind AND i.status = s.status AND i.retired_at IS NULL
            AND i.created_at >= coalesce($3::timestamptz, '-infinity')
            AND (i.created_at, i.id COLLATE "C")
                <= (coalesce($4::timestamptz, 'infinity'), coalesce($5::text, '') COLLATE "C")
            AND (i.created_at, i.id COLLATE "C", i.kind COLLATE "C")
                < (coalesce($4::timestamptz, 'infinity'), coalesce($5::text, ''),
                   coalesce($6::text, ''))
        ORDER BY i.created_at DESC, i.id COLLATE "C" DESC LIMIT $7
    ) AS found
    ORDER BY found.created_at DESC, found.workflow_id COLLATE "C" DESC,
             found.kind COLLATE "C" DESC
    LIMIT $7
"""

HEAD = """
    SELECT id AS workflow_id, kind, status, run, actor, created_at, finished_at
    FROM workflow_instances WHERE kind = $1 AND id = $2
"""

# A patch is no operation.
ENTRIES = """
    SELECT started_at AS at, 'operation' AS category, type, state AS status, run, name, path,
           attempts, finished_at, due_at, error, NULL AS actor, run AS place, ordinal AS number
    FROM workflow_journal
    WHERE kind = $1 AND id = $2 AND type <> 'patch' AND ($3::integer IS NULL OR run = $3)
    UNION ALL
    SELECT created_at, category, type, CASE WHEN read_at IS NULL THEN 'unread' ELSE 'read' END,
           NULL, NULL, NULL, NULL, NULL, NULL, NULL, actor, 0, seq
    FROM inbox WHERE kind = $1 AND id = $2 AND $3::integer IS NULL
    ORDER BY at, place, number, path, name
"""

PLAIN = tuple(name for name in TimelineEntry.__struct_fields__ if name != "error")


class ListStore:
    """One method a statement, but for a timeline's head and entries."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def page(self, query: InstancesQuery, limit: int) -> list[InstanceSummary]:
        """What the query asks for, up to `limit`, newest first."""
        after = query.after
        found = await self._connection.fetch(
            PAGE,
            list(dict.fromkeys(query.kinds)),
            list(dict.fromkeys(query.statuses)) or list(LISTED),
            query.since,
            *((after.created_at, after.id, after.kind) if after else (None, None, None)),
            limit,
        )
        return [_summary(row) for row in found]

    async def timeline(self, query: TimelineQuery) -> Timeline | None:
        """What is kept of the instance; None where there is none."""
        head = await self._connection.fetchrow(HEAD, query.kind, query.id)
        if head is None:
            return None
        found = await self._connection.fetch(ENTRIES, query.kind, query.id, query.run)
        fields: dict[str, Any] = {**dict(head), "status": Status(head["status"])}
        return Timeline(
            **fields,
            entries=tuple(
                TimelineEntry(**{name: row[name] for name in PLAIN}, error=_error(row["error"]))
                for row in found
            ),
        )


def _summary(row: Any) -> InstanceSummary:
    fields: dict[str, Any] = {
        **dict(row),
        "status": Status(row["status"]),
        "error": _error(row["error"]),
    }
    return InstanceSummary(**fields)


def _error(text: str | None) -> ErrorInfo | None:
    return None if text is None else msgspec.json.decode(text, type=ErrorInfo)
