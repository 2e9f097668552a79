"""The table of notices, on the connection of whoever posts or reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shared.messages.notices import Notice, NoticeLetter, NoticesQuery, PostedNotice
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


class NoticeStore:
    """Posts in the transaction of its connection: a step's notice exists if the step committed."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def post(self, notice: Notice, now: datetime) -> bool:
        """Whether it is new; one whose name and key are there already changes nothing.

        Raises msgspec.ValidationError for a name, recipient or key that no notice can have.
        """
        msgspec.convert(msgspec.to_builtins(notice), Notice)
        made = await self._connection.fetchval(
            _POST,
            notice.name,
            notice.recipient,
            notice.key,
            msgspec.json.encode(notice.data).decode(),
            now,
        )
        return made is not None

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


def _notice(row: Any) -> PostedNotice:
    fields = dict(row)
    letters = msgspec.json.decode(fields.pop("letters"), type=tuple[NoticeLetter, ...])
    return PostedNotice(data=msgspec.Raw(fields.pop("data")), letters=letters, **fields)
