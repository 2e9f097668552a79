"""Requests about notices, which every service answers."""

from __future__ import annotations

from shared.messages.notices import AcknowledgeNotice, Notices, NoticesQuery, PostedNotice
from shared.messages.problems import Refused
from shared.postgres.notices import NoticeStore
from shared.runtime.handling import Handler, Work


async def notices(work: Work, query: NoticesQuery) -> Notices:
    """What was told, newest first, and what became of it."""
    found = await NoticeStore(work.connection).page(query, query.limit + 1)
    kept = found[: query.limit]
    more = len(found) > len(kept)
    return Notices(notices=tuple(kept), next_cursor=kept[-1].id if more else None)


async def acknowledge_notice(work: Work, request: AcknowledgeNotice) -> PostedNotice:
    """Marks a notice as read; again changes nothing."""
    notice = await NoticeStore(work.connection).acknowledge(request.notice_id, work.now)
    if notice is None:
        raise Refused(
            "notice_not_found",
            f"there is no notice {request.notice_id}",
            status=404,
            field="noticeId",
        )
    return notice


NOTICES = Handler("notices", NoticesQuery, notices)
ACKNOWLEDGE_NOTICE = Handler("acknowledge_notice", AcknowledgeNotice, acknowledge_notice)
