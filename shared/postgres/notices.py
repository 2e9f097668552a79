"""The table of notices, on the connection of whoever posts or reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from shared.messages.notices import LetterState, Notice, NoticeLetter, NoticesQuery, PostedNotice
from shared.workflow.ports import Connection

_SHOWN = """
    n.id, n.name, n.recipient, n.key, n.data, n.created_at, n.acknowledged_at,
    (SELECT coalesce(json_agg(json_build_object(
        'channel', d.channel, 'state', d.state, 'attempts', d.attempts,
        'nextAttemptAt', d.next_attempt_at, 'sentAt', d.sent_at, 'error', d.error)
        ORDER BY d.channel), '[]')
     FROM notice_letters AS d WHERE d.notice_id = n.id) AS letters
"""

_POST = """
    INSERT INTO notices (name, recipient, key, data, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name, key) DO NOTHING
    RETURNING id
"""

_PAGE = f"""
    SELECT {_SHOWN} FROM notices AS n
    WHERE ($1::text IS NULL OR n.recipient = $1)
      AND ($2::text IS NULL OR n.name = $2)
      AND ($3::timestamptz IS NULL OR n.created_at >= $3)
      AND ($4::bigint IS NULL OR n.id < $4)
    ORDER BY n.id DESC LIMIT $5
"""  # noqa: S608 - composed of constants of this file alone

_ACKNOWLEDGE = f"""
    UPDATE notices AS n SET acknowledged_at = coalesce(n.acknowledged_at, $2)
    WHERE n.id = $1 RETURNING {_SHOWN}
"""  # noqa: S608


# As if a courier had routed it and sent what is settled; the others' letters are due.
_POST_TOLD = """
    INSERT INTO notices AS n (name, recipient, key, data, created_at, routed_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp())
    ON CONFLICT (name, key) DO UPDATE
        SET routed_at = coalesce(n.routed_at, EXCLUDED.routed_at)
    RETURNING id
"""

_LETTERS = """
    INSERT INTO notice_letters AS l
        (notice_id, channel, state, attempts, next_attempt_at, sent_at, error)
    SELECT $1, channel, state, attempts, CASE WHEN state = 'pending' THEN clock_timestamp() END,
           CASE WHEN state = 'sent' THEN clock_timestamp() END, error
    FROM unnest($2::text[], $3::text[], $4::integer[], $5::text[])
        AS t (channel, state, attempts, error)
    ON CONFLICT (notice_id, channel) DO UPDATE SET
        state = 'sent', next_attempt_at = NULL, sent_at = clock_timestamp(), error = NULL
    WHERE EXCLUDED.state = 'sent' AND l.state = 'pending'
"""


class NoticeStore:
    """Posts in the transaction of its connection: a step's notice exists if the step committed."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def post(self, notice: Notice, now: datetime) -> bool:
        """Whether it is new; one whose name and key are there already changes nothing.

        Raises msgspec.ValidationError for a name, recipient or key that no notice can have.
        """
        return await self._connection.fetchval(_POST, *_columns(notice, now)) is not None

    async def post_told(
        self, notice: Notice, now: datetime, letters: Mapping[str, tuple[LetterState, str | None]]
    ) -> None:
        """Writes down a notice that went out before there could be a row, and what became of its
        letter on each channel; the courier sends what is pending. Raises what `post` does."""
        notice_id = await self._connection.fetchval(_POST_TOLD, *_columns(notice, now))
        await self._connection.execute(
            _LETTERS,
            notice_id,
            list(letters),
            [state for state, _ in letters.values()],
            [int(state != "pending") for state, _ in letters.values()],
            [error for _, error in letters.values()],
        )

    async def page(self, query: NoticesQuery, limit: int) -> list[PostedNotice]:
        """What the query asks for, up to `limit`, newest first."""
        found = await self._connection.fetch(
            _PAGE, query.recipient, query.name, query.since, query.cursor, limit
        )
        return [_notice(row) for row in found]

    async def acknowledge(self, notice_id: int, now: datetime) -> PostedNotice | None:
        """Marks it as read, once; None when there is none of that id."""
        row = await self._connection.fetchrow(_ACKNOWLEDGE, notice_id, now)
        return None if row is None else _notice(row)


def _columns(notice: Notice, now: datetime) -> tuple[object, ...]:
    msgspec.convert(msgspec.to_builtins(notice), Notice)
    data = msgspec.json.encode(notice.data).decode()
    return notice.name, notice.recipient, notice.key, data, now


def _notice(row: Any) -> PostedNotice:
    fields = dict(row)
    letters = msgspec.json.decode(fields.pop("letters"), type=tuple[NoticeLetter, ...])
    return PostedNotice(data=msgspec.Raw(fields.pop("data")), letters=letters, **fields)
