"""Planted mistakes: a sweep that cannot fail would show nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from shared.messages.base import encode
from shared.postgres import statements
from shared.testing.faults import Faults, FaultyStore, FaultyTransaction
from shared.testing.rig import DueStore
from shared.workflow import replay
from shared.workflow.branch import Branch
from shared.workflow.compensation import Compensation
from shared.workflow.execution import Execution
from shared.workflow.inbox import Inbox
from shared.workflow.ports import StatusBucket, Transaction
from shared.workflow.projection import project
from shared.workflow.records import Checkpoint, Committed, Entry, Instance, Notice
from tests.faults.disturbing import (
    cut_at,
    failing_journey,
    freeze_at,
    journey,
    meet_at,
    plain,
    sweep,
    waiting_journey,
    winding,
)
from tests.faults.sweep import Mistakes, NotAsItMustBe, World


async def test_the_sweep_finds_an_ack_before_the_commit(world: World) -> None:
    with pytest.raises(NotAsItMustBe):
        await sweep(world, plain, Mistakes(ack_first=True), cut_at)


class StatusFirst(FaultyStore):
    """A store whose transactions show their outcome before they commit it."""

    def __init__(self, inner: DueStore, statuses: StatusBucket):
        super().__init__(inner, Faults())
        self._statuses = statuses

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        async with super().transaction() as transaction:
            yield ShowsFirst(transaction, self._statuses)


class ShowsFirst(FaultyTransaction):
    def __init__(self, inner: Transaction, statuses: StatusBucket):
        super().__init__(inner, Faults())
        self._statuses = statuses
        self._shown: tuple[Instance, Checkpoint, Committed] | None = None

    async def write(self, instance: Instance, checkpoint: Checkpoint) -> Committed:
        committed = await super().write(instance, checkpoint)
        self._shown = (instance, checkpoint, committed)
        return committed

    async def commit(self) -> None:
        if self._shown is not None:
            instance, checkpoint, committed = self._shown
            shown = msgspec.structs.replace(
                instance,
                status=checkpoint.status,
                version=committed.version,
                updated_at=checkpoint.now,
            )
            order = (committed.generation, committed.version, 0)
            document = encode(project(shown, checkpoint.entries))
            await self._statuses.put(instance.key, document, order, None)
        await super().commit()


async def test_the_sweep_finds_a_status_before_the_commit(world: World) -> None:
    with pytest.raises(NotAsItMustBe, match="status"):
        await sweep(world, plain, Mistakes(store=StatusFirst), cut_at)


async def test_the_sweep_finds_a_missing_fence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfenced = statements.CHECKPOINT.replace(
        "AND epoch = $4 AND version = $5", "AND $4::bigint > 0 AND $5::bigint >= 0"
    ).replace(
        "WHERE j.state IN ('retrying', 'calling', 'verifying', 'sleeping', 'waiting', 'started')",
        "",
    )
    assert unfenced != statements.CHECKPOINT
    monkeypatch.setattr(statements, "CHECKPOINT", unfenced)
    unlocked = statements.LOCK.replace("epoch = $4", "$4::bigint > 0")
    assert unlocked != statements.LOCK
    monkeypatch.setattr(statements, "LOCK", unlocked)
    world.bound_seconds = 6
    with pytest.raises(NotAsItMustBe):
        await sweep(world, winding, Mistakes(), freeze_at, only="after commit")


async def test_the_sweep_finds_a_call_whose_attempt_is_not_committed_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def do_not_commit(execution: Execution, branch: Branch, timeout_seconds: float) -> None:
        branch.segment.entries.pop()

    monkeypatch.setattr(Execution, "commit_attempt", do_not_commit)
    with pytest.raises(NotAsItMustBe, match="calls that were repeated"):
        await sweep(world, journey, Mistakes(), cut_at, only="after call")


async def test_the_sweep_finds_compensations_that_begin_with_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_first(found: list[Compensation], key: object) -> list[Compensation]:
        return sorted(found, key=lambda each: each.ordinal)

    monkeypatch.setattr(replay, "sorted", first_first, raising=False)
    with pytest.raises(NotAsItMustBe, match="undone"):
        await sweep(world, failing_journey, Mistakes(), cut_at, only="after undo")


async def test_the_sweep_finds_compensations_that_nobody_remembers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = Execution.gather

    def forget(execution: Execution, branch: Branch, entry: Entry, **kept: Any) -> None:
        gather(execution, branch, entry, **kept)
        if entry.type == "compensation":
            branch.segment.entries.pop()

    monkeypatch.setattr(Execution, "gather", forget)
    with pytest.raises(NotAsItMustBe, match=r"undone|effects"):
        await sweep(world, failing_journey, Mistakes(), cut_at, only="after undo")


async def test_the_sweep_finds_an_instance_that_parks_without_a_look_at_its_inbox(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sees_nothing(inbox: Inbox, wanted: Collection[str]) -> bool:
        return False

    monkeypatch.setattr(Inbox, "holds", sees_nothing)
    # Nor does the timekeeper, which would find it after seconds.
    takes_nothing = statements.TAKE_UNREAD.replace("LIMIT $1", "LIMIT 0 * $1")
    assert takes_nothing != statements.TAKE_UNREAD
    monkeypatch.setattr(statements, "TAKE_UNREAD", takes_nothing)
    world.bound_seconds = 6
    with pytest.raises(NotAsItMustBe, match="has not ended"):
        await sweep(world, waiting_journey, Mistakes(), meet_at, only="before lock")


async def test_the_sweep_finds_a_signal_that_is_not_marked_as_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "READ_INBOX", f"{statements.READ_INBOX} AND false")
    with pytest.raises(NotAsItMustBe):
        await sweep(world, journey, Mistakes(), cut_at, only="after commit")


class NoticeAfterwards(FaultyStore):
    """A store that tells parents only after the commit of the end."""

    def __init__(self, inner: DueStore, statuses: StatusBucket):
        super().__init__(inner, Faults())
        self._notices: list[Notice] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        async with super().transaction() as transaction:
            yield TellsLater(transaction, self._notices)

    async def mark_sent(self, ids: Iterable[str]) -> None:
        await super().mark_sent(ids)
        while self._notices:
            notice = self._notices.pop()
            await self.keep(notice.to, [notice.message])


class TellsLater(FaultyTransaction):
    def __init__(self, inner: Transaction, notices: list[Notice]):
        super().__init__(inner, Faults())
        self._notices = notices

    async def tell(self, notice: Notice) -> None:
        self._notices.append(notice)


async def test_the_sweep_finds_a_notice_outside_the_commit_of_the_end(world: World) -> None:
    world.bound_seconds = 6
    with pytest.raises(NotAsItMustBe, match="has not ended"):
        await sweep(world, journey, Mistakes(store=NoticeAfterwards), cut_at, only="after commit")
