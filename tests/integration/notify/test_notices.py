"""A notice exists once, if what posted it committed; the table shows it and marks it as read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from shared.messages.notices import AcknowledgeNotice, Notice, NoticeSent, NoticesQuery
from shared.messages.problems import Refused
from shared.postgres.notices import NoticeStore
from shared.postgres.store import PostgresStore
from shared.runtime.handling import Work
from shared.runtime.notices import acknowledge_notice, notices
from shared.testing.rig import Rig
from shared.testing.samples import StartSample
from shared.workflow.context import WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.registry import register
from shared.workflow.step import Step
from tests.integration.notify.conftest import Desk
from tests.markdown import blocks, execute


class Telling:
    """A step that posts and then fails as often as it is told, and one that posts."""

    kind = "sample"

    def __init__(self, failures: int):
        self._failures = failures
        self.new: list[bool] = []

    async def run(self, ctx: WorkflowContext, start: StartSample) -> None:
        steps = ctx.options(retry=Retry(max_attempts=2, delay=timedelta(0)))
        await steps.step("first", self.tell, "first")
        await steps.step("second", self.tell, "second")

    async def tell(self, step: Step, key: str) -> None:
        notice = Notice(name="told", recipient="ann", key=f"{step.workflow_id}/{key}")
        self.new.append(await NoticeStore(step.connection).post(notice, step.now))
        if self._failures:
            self._failures -= 1
            raise RuntimeError("told to fail")


@pytest.mark.parametrize(
    ("failures", "keys", "new"),
    [(0, 2, [True, True]), (1, 2, [True, True, True]), (2, 0, [True, True])],
)
async def test_a_steps_notice_exists_once_if_the_step_committed(
    desk: Desk, failures: int, keys: int, new: list[bool]
) -> None:
    workflow = Telling(failures)
    store = PostgresStore("sample", desk.pool, desk.pool)
    rig = Rig([register(StartSample, workflow)], clock=desk.clock, store=store)
    start = StartSample(id="one")
    await rig.start(start)
    await rig.advance(timedelta(seconds=1))
    await rig.start(start, attempt=2)
    told = [notice.key for notice in await desk.notices()]
    assert told == ["one/second", "one/first"][:keys]
    assert workflow.new == new


async def test_the_documented_step_posts_the_documented_notice(desk: Desk) -> None:
    tell_of_failure = execute("docs/notices.md")["tell_of_failure"]
    [block] = blocks("docs/notices.md", "json")
    shown = msgspec.json.decode(block.text, type=NoticeSent)
    async with desk.pool.acquire() as connection:
        step = Step(connection, shown.created_at, "seed", "one")
        told = [await tell_of_failure(step, shown.recipient, "invoice-7", 2) for _ in range(2)]
    assert told == [True, False]
    [posted] = await desk.notices()
    assert (posted.name, posted.recipient, posted.key, posted.created_at) == (
        shown.name,
        shown.recipient,
        shown.key,
        shown.created_at,
    )
    assert msgspec.json.decode(bytes(posted.data)) == shown.data


async def test_a_key_of_a_name_is_one_notice_and_the_first_stays(desk: Desk) -> None:
    assert await desk.post("a", "a", "b") == [True, False, True]
    assert await desk.post("a", recipient="bob") == [False]
    assert await desk.post("a", name="farewell", recipient="bob") == [True]
    assert [(each.name, each.key, each.recipient) for each in await desk.notices()] == [
        ("farewell", "a", "bob"),
        ("greeting", "b", "ann"),
        ("greeting", "a", "ann"),
    ]


@pytest.mark.parametrize(
    ("field", "value"), [("name", "Bad name"), ("recipient", ""), ("key", "a\x00b")]
)
async def test_what_no_notice_can_have_is_refused_by_its_field(
    desk: Desk, field: str, value: str
) -> None:
    fields: dict[str, Any] = {"name": "greeting", "recipient": "ann", "key": "a", field: value}
    async with desk.pool.acquire() as connection:
        with pytest.raises(msgspec.ValidationError, match=field):
            await NoticeStore(connection).post(Notice(**fields), desk.clock.now())


async def test_facts_come_back_as_they_were_written(desk: Desk) -> None:
    data = {"text": "a\x00\nb", "n": 1, "list": [None, {"x": 1.5}]}
    notice = Notice(name="greeting", recipient="ann", key="a", data=data)
    async with desk.pool.acquire() as connection:
        await NoticeStore(connection).post(notice, desk.clock.now())
    [posted] = await desk.notices()
    assert msgspec.json.decode(bytes(posted.data)) == data


async def test_pages_are_newest_first_and_filtered_by_recipient_name_and_instant(
    desk: Desk,
) -> None:
    start = desk.clock.now()
    for hour in range(5):
        await desk.post(f"{hour}", at=start + timedelta(hours=hour))
    await desk.post("other", recipient="bob", name="farewell", at=start)

    async with desk.pool.acquire() as connection:
        work = Work(connection, start, "tester", "key")
        first = await notices(work, NoticesQuery(recipient="ann", limit=3))
        second = await notices(
            work, NoticesQuery(limit=3, recipient="ann", cursor=first.next_cursor)
        )
    assert [each.key for each in first.notices] == ["4", "3", "2"]
    assert [each.key for each in second.notices] == ["1", "0"]
    assert second.next_cursor is None
    assert [each.key for each in await desk.notices(name="farewell")] == ["other"]
    assert [each.key for each in await desk.notices(since=start + timedelta(hours=3))] == ["4", "3"]


async def test_a_notice_is_marked_as_read_once(desk: Desk) -> None:
    await desk.post("a")
    [posted] = await desk.notices()
    first_read = desk.clock.now()
    async with desk.pool.acquire() as connection:
        for hours in (0, 1):
            work = Work(connection, first_read + timedelta(hours=hours), "tester", str(uuid4()))
            read = await acknowledge_notice(work, AcknowledgeNotice(notice_id=posted.id))
            assert read.acknowledged_at == first_read
        with pytest.raises(Refused) as refused:
            await acknowledge_notice(work, AcknowledgeNotice(notice_id=posted.id + 1))
    assert (refused.value.code, refused.value.status) == ("notice_not_found", 404)


async def test_another_transaction_with_the_key_is_waited_for(desk: Desk) -> None:
    """Only then does `post` know whether its notice is the one."""
    notice = Notice(name="greeting", recipient="ann", key="a")
    async with desk.pool.acquire() as first, desk.pool.acquire() as second:
        transaction = first.transaction()
        await transaction.start()
        assert await NoticeStore(first).post(notice, desk.clock.now())
        await second.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await NoticeStore(second).post(notice, desk.clock.now())
        await transaction.rollback()
        assert await NoticeStore(second).post(notice, desk.clock.now())
