"""The inbox of an instance store: what is kept, read, told, and which doors it opens."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from shared.messages.workflows import Action, ErrorInfo, Status
from shared.workflow.controls import POISONED
from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    Committed,
    InboxMessage,
    InstanceKey,
    Notice,
    Refusal,
    StartRequest,
    StreamPosition,
)
from tests.conformance.conftest import Bench
from tests.scripts import HOUR

KEY, OTHER = InstanceKey("sample", "one"), InstanceKey("sample", "two")


def message(
    bench: Bench,
    sequence: int,
    *,
    message_id: str | None = None,
    category: Literal["signal", "control", "notice"] = "signal",
    message_type: str = "word",
) -> InboxMessage:
    return InboxMessage(
        message_id=message_id or f"m{sequence}",
        category=category,
        type=message_type,
        payload=b'{"text":"\xc3\xbc"}',
        actor="somebody",
        position=StreamPosition("2026", sequence),
        created_at=bench.rig.clock.now(),
    )


def control(bench: Bench, action: str) -> InboxMessage:
    return message(bench, 7, category="control", message_type=action)


def request(bench: Bench, *, start: bool = False) -> ClaimRequest:
    now = bench.rig.clock.now()
    return ClaimRequest(
        key=KEY,
        now=now,
        redelivered=False,
        start=StartRequest(input=b"{}", created_at=now) if start else None,
    )


async def leave(bench: Bench, status: Status, **changes: object) -> tuple[Claim, Committed]:
    """An instance that was claimed once and left in a status."""
    given: dict[str, object] = {"status": status, "now": bench.rig.clock.now(), "event_sequence": 0}
    async with bench.store.transaction() as transaction:
        claim = await transaction.claim(request(bench, start=True))
        assert isinstance(claim, Claim)
        checkpoint = Checkpoint(**{**given, **changes})  # type: ignore[arg-type] # a table of fields
        committed = await transaction.write(claim.instance, checkpoint)
        await transaction.commit()
    return claim, committed


async def claim_wake(bench: Bench) -> Claim | Refusal:
    async with bench.store.transaction() as transaction:
        return await transaction.claim(request(bench))


@pytest.mark.rule("engine-12", "engine-13")
async def test_messages_are_kept_once_and_read_in_the_order_of_their_streams(
    bench: Bench,
) -> None:
    older = replace(message(bench, 9), position=StreamPosition("2025", 9))
    messages = [message(bench, 2), message(bench, 1), older]
    for _ in range(2):
        await bench.store.keep(KEY, messages)
    await bench.store.keep(OTHER, [message(bench, 1)])
    found = await bench.store.unread(KEY)
    assert [replace(each, seq=0) for each in found] == [older, message(bench, 1), messages[0]]
    assert len({each.seq for each in found}) == 3


@pytest.mark.rule("engine-13")
async def test_the_id_that_a_sender_chooses_stands_for_signals_alone(bench: Bench) -> None:
    categories: tuple[Literal["signal", "control", "notice"], ...] = (
        "signal",
        "control",
        "notice",
    )
    for category in categories:
        await bench.store.keep(KEY, [message(bench, 1, category=category)])
    assert [each.category for each in await bench.store.unread(KEY)] == [*categories]


@pytest.mark.rule("engine-12")
async def test_a_claim_and_a_commit_tell_what_is_unread_and_a_commit_takes_it(
    bench: Bench,
) -> None:
    await bench.store.keep(KEY, [message(bench, 1), message(bench, 2)])
    first, second = [each.seq for each in await bench.store.unread(KEY)]
    claim, committed = await leave(bench, Status.WAITING, taken=(first,))
    assert claim.unread
    assert committed.unread == (second,)
    assert [each.seq for each in await bench.store.unread(KEY)] == [second]
    # What was read stays known: its redelivery is not read again.
    await bench.store.keep(KEY, [message(bench, 1)])
    assert [each.seq for each in await bench.store.unread(KEY)] == [second]


@pytest.mark.rule("engine-12")
async def test_what_is_not_committed_has_read_and_told_nothing(bench: Bench) -> None:
    await bench.store.keep(KEY, [message(bench, 1)])
    [kept] = await bench.store.unread(KEY)
    checkpoint = Checkpoint(
        status=Status.COMPLETE, now=bench.rig.clock.now(), event_sequence=0, taken=(kept.seq,)
    )
    notice = Notice(OTHER, message(bench, 2, category="notice"))
    for commits in (False, True):
        async with bench.store.transaction() as transaction:
            claim = await transaction.claim(request(bench, start=True))
            assert isinstance(claim, Claim)
            await transaction.write(claim.instance, checkpoint)
            await transaction.tell(notice)
            if commits:
                await transaction.commit()
        assert await bench.store.unread(KEY) == ([] if commits else [kept])
        told = [replace(each, seq=0) for each in await bench.store.unread(OTHER)]
        assert told == ([notice.message] if commits else [])


POISON = ErrorInfo(name=POISONED, message="too often")
FAILED = ErrorInfo(name="failed", message="it failed")
DOORS: dict[str, tuple[Status, dict[str, object], str | None, str | None]] = {
    "ended, signal": (Status.COMPLETE, {}, "signal", "ended"),
    "ended, pause": (Status.COMPLETE, {}, Action.PAUSE, "ended"),
    "ended, resume": (Status.ERRORED, {"error": FAILED}, Action.RESUME, "ended"),
    "ended, restart": (Status.TERMINATED, {}, Action.RESTART, None),
    "poisoned, resume": (Status.ERRORED, {"error": POISON}, Action.RESUME, None),
    "poisoned, terminate": (Status.ERRORED, {"error": POISON}, Action.TERMINATE, "ended"),
    "paused, signal": (Status.PAUSED, {}, "signal", "paused"),
    "paused, pause": (Status.PAUSED, {}, Action.PAUSE, None),
    "paused, resume": (Status.PAUSED, {}, Action.RESUME, None),
    "paused, terminate": (Status.PAUSED, {}, Action.TERMINATE, None),
    "asleep, nothing": (Status.WAITING, {"asleep": True}, None, "parked"),
    "asleep, signal": (Status.WAITING, {"asleep": True}, "signal", None),
    "asleep, pause": (Status.WAITING, {"asleep": True}, Action.PAUSE, None),
    "leased, signal": (Status.RUNNING, {"lease_seconds": 60.0}, "signal", "leased"),
    "leased, terminate": (Status.RUNNING, {"lease_seconds": 60.0}, Action.TERMINATE, "leased"),
}


@pytest.mark.rule("engine-12", "engine-14")
@pytest.mark.parametrize("door", DOORS)
async def test_what_lies_in_the_inbox_opens_the_doors_that_it_should(
    bench: Bench, door: str
) -> None:
    status, given, lying, refused = DOORS[door]
    changes = dict(given)
    if changes.pop("asleep", False):
        wake_at = bench.rig.clock.now() + HOUR
        changes |= {"wake_at": wake_at, "due_at": wake_at}
    await leave(bench, status, **changes)
    if lying == "signal":
        await bench.store.keep(KEY, [message(bench, 1)])
    elif lying is not None:
        await bench.store.keep(KEY, [control(bench, lying)])
    answer = await claim_wake(bench)
    if refused is None:
        assert isinstance(answer, Claim)
        assert answer.unread
    else:
        assert isinstance(answer, Refusal)
        assert (answer.reason, answer.held) == (refused, False)


@pytest.mark.rule("engine-4", "engine-12")
@pytest.mark.parametrize("status", [None, Status.WAITING, Status.PAUSED, Status.RUNNING])
async def test_a_refusal_says_when_another_transaction_may_change_its_reason(
    bench: Bench, status: Status | None
) -> None:
    if status is not None:
        await leave(bench, status)
    async with bench.store.transaction() as transaction:
        await bench.store.keep(KEY, [control(bench, Action.RESUME)])
        owner = await transaction.claim(request(bench, start=True))
        assert isinstance(owner, Claim)
        answer = await claim_wake(bench)
    assert isinstance(answer, Refusal)
    assert answer.held
    if status is not None:
        assert isinstance(await claim_wake(bench), Claim)
