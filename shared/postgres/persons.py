"""What a service's schema has about a person: to be read in pages, and forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from shared.workflow.ports import Connection

FORGET_LETTERS = """
    WITH page AS (SELECT id FROM dead_letters WHERE id > $1 ORDER BY id LIMIT $2),
    gone AS (
        DELETE FROM dead_letters AS d USING page WHERE d.id = page.id AND EXISTS (
            SELECT FROM unnest($3::bytea[]) AS trace WHERE position(trace IN d.body) > 0)
    )
    SELECT max(id) FROM page
"""

# Facts that were taken out of the dead letters; what the service says itself holds ids alone.
FORGET_MESSAGES = """
    WITH page AS (SELECT seq FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2),
    gone AS (
        DELETE FROM outbox AS o USING page
        WHERE o.seq = page.seq AND o.subject LIKE 'ingest.%' AND EXISTS (
            SELECT FROM unnest($3::bytea[]) AS trace WHERE position(trace IN o.body) > 0)
    )
    SELECT max(seq) FROM page
"""

# The row stays, so that its key does not carry the request out anew.
FORGET_REPLIES = """
    WITH page AS (
        SELECT request, key FROM request_results
        WHERE (request, key) > ($1, $2) ORDER BY request, key LIMIT $3
    ),
    emptied AS (
        UPDATE request_results AS r SET reply = '', body_hash = '' FROM page
        WHERE (r.request, r.key) = (page.request, page.key) AND EXISTS (
            SELECT FROM unnest($4::bytea[]) AS trace WHERE position(trace IN r.reply) > 0)
    )
    SELECT request, key FROM page ORDER BY request DESC, key DESC LIMIT 1
"""

FORGET_NOTICES = "DELETE FROM notices WHERE recipient = $1::uuid::text"

BATCH = 1000


class Section(NamedTuple):
    """A table with rows about a person. Every text here is a constant of the code."""

    table: str
    key: str
    """Expression that numbers a person's rows."""
    type: str
    """Of the key."""
    of_person: str
    """Condition that finds the rows; `$1` is the person's id."""


NOTICES = Section("notices", "id", "bigint", "recipient = $1::uuid::text")


class PersonReader:
    """Reads what there is about one person."""

    def __init__(self, connection: Connection, person_id: UUID):
        self._connection = connection
        self._person_id = person_id

    async def rows(
        self, section: Section, after: str | None, limit: int
    ) -> Sequence[tuple[str, bytes]]:
        """Keys and rows of a table, as JSON, behind the key `after`."""
        found = await self._connection.fetch(
            f"""
            SELECT ({section.key})::text AS key, to_jsonb(t)::text AS row FROM {section.table} AS t
            WHERE {section.of_person}
              AND ($2::text IS NULL OR {section.key} > $2::text::{section.type})
            ORDER BY {section.key} LIMIT $3
            """,  # noqa: S608 - constants of the code
            self._person_id,
            after,
            limit,
        )
        return [(row["key"], row["row"].encode()) for row in found]


class TraceStore:
    """Forgets what the engine's own tables have kept of what a person sent or was told.

    Each goes through its whole table in batches: retention keeps the tables short, and an index
    over bodies would cost every request something for what is rare.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def forget(
        self, person_id: UUID, texts: Iterable[str | None], batch: int = BATCH
    ) -> None:
        """Everything that holds the id, or one of the texts, such as a mail address."""
        traces = traces_of(person_id, texts)
        for statement in (FORGET_LETTERS, FORGET_MESSAGES):
            last: int | None = 0
            while last is not None:
                last = await self._pool.fetchval(statement, last, batch, traces)
        request, key = "", ""
        while True:
            row = await self._pool.fetchrow(FORGET_REPLIES, request, key, batch, traces)
            if row is None:
                break
            request, key = row["request"], row["key"]
        await self._pool.execute(FORGET_NOTICES, person_id)


def traces_of(person_id: UUID, texts: Iterable[str | None]) -> list[bytes]:
    """The bytes by which a body is known to be about the person: JSON may escape a text."""
    written = [str(person_id), str(person_id).upper(), person_id.hex]
    for text in texts:
        if text:
            escaped = text.encode("ascii", "backslashreplace").decode()
            written += [text, escaped]
    return [each.encode() for each in dict.fromkeys(written)]
