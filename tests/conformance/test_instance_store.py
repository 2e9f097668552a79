"""Claims, fences and the journal of an instance store, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import msgspec
import pytest

from shared.messages.workflows import Status
from shared.testing.clocks import ManualClock
from shared.testing.samples import StartSample
from shared.workflow.errors import LostClaim, Transient
from shared.workflow.ports import Transaction
from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    DeadLetter,
    Entry,
    InstanceKey,
    OutboxMessage,
    Refusal,
    StartRequest,
)
from tests.conformance.conftest import LEASE_SECONDS, Bench

KEY = InstanceKey("sample", "one")


def start_request(bench: Bench, *, redelivered: bool = False) -> ClaimRequest:
    now = bench.rig.clock.now()
    return ClaimRequest(
        key=KEY,
        now=now,
        redelivered=redelivered,
        start=StartRequest(input=b'{"steps":1}', created_at=now),
    )


def wake_request(bench: Bench) -> ClaimRequest:
    return ClaimRequest(key=KEY, now=bench.rig.clock.now(), redelivered=False)


def checkpoint(bench: Bench, status: Status, **changes: object) -> Checkpoint:
    given: dict[str, object] = {"status": status, "now": bench.rig.clock.now(), "event_sequence": 0}
    return Checkpoint(**{**given, **changes})  # type: ignore[arg-type] # a table of fields


def entry(name: str, state: str = "complete") -> Entry:
    now = ManualClock().now()
    return Entry(
        path="",
        name=name,
        occurrence=0,
        position=0,
        type="step",
        state=state,
        attempts=1,
        started_at=now,
        finished_at=now,
        result=b'"x"',
    )


async def claimed(transaction: Transaction, request: ClaimRequest) -> Claim:
    claim = await transaction.claim(request)
    assert isinstance(claim, Claim), claim
    return claim


async def refused(bench: Bench, request: ClaimRequest) -> Refusal:
    async with bench.store.transaction() as transaction:
        refusal = await transaction.claim(request)
    assert isinstance(refusal, Refusal), refusal
    return refusal


async def leave(bench: Bench, status: Status, **changes: object) -> Claim:
    """An instance that was claimed once and left in a status."""
    async with bench.store.transaction() as transaction:
        claim = await claimed(transaction, start_request(bench))
        await transaction.write(claim.instance, checkpoint(bench, status, **changes))
        await transaction.commit()
    return claim


@pytest.mark.rule("engine-4")
async def test_a_claim_that_is_not_committed_keeps_others_out_without_making_them_wait(
    bench: Bench,
) -> None:
    async with bench.store.transaction() as first:
        claim = await claimed(first, start_request(bench))
        assert claim.created
        assert (await refused(bench, start_request(bench))).reason == "busy"
        assert (await refused(bench, wake_request(bench))).reason in {"absent", "busy"}
    async with bench.store.transaction() as second:
        assert (await claimed(second, start_request(bench))).created


@pytest.mark.rule("engine-4")
async def test_fifty_claims_at_once_give_one(bench: Bench) -> None:
    async def claim_once() -> str:
        async with AsyncExitStack() as stack:
            transaction = await stack.enter_async_context(bench.store.transaction())
            answer = await transaction.claim(start_request(bench))
            if isinstance(answer, Refusal):
                return answer.reason
            await transaction.write(answer.instance, checkpoint(bench, Status.COMPLETE))
            await transaction.commit()
            return "claimed"

    answers = await asyncio.gather(*(claim_once() for _ in range(50)))
    assert answers.count("claimed") == 1
    assert set(answers) <= {"claimed", "busy", "ended"}


@pytest.mark.parametrize(
    ("status", "changes", "reason"),
    [
        (Status.COMPLETE, {}, "ended"),
        (Status.ERRORED, {}, "ended"),
        (Status.PAUSED, {}, "paused"),
        (Status.RUNNING, {"lease_seconds": 60.0}, "leased"),
    ],
)
async def test_a_refusal_says_why(
    bench: Bench, status: Status, changes: dict[str, object], reason: str
) -> None:
    await leave(bench, status, **changes)
    refusal = await refused(bench, start_request(bench))
    assert refusal.reason == reason
    if reason == "leased":
        assert refusal.retry_seconds is not None
        assert 0 < refusal.retry_seconds <= 60


async def test_a_wake_for_an_instance_that_is_not_there_is_absent(bench: Bench) -> None:
    assert (await refused(bench, wake_request(bench))).reason == "absent"


async def test_a_parked_instance_can_be_claimed_when_its_instant_has_come(bench: Bench) -> None:
    wake_at = bench.rig.clock.now() + timedelta(hours=1)
    await leave(bench, Status.WAITING, wake_at=wake_at, due_at=wake_at)
    assert (await refused(bench, wake_request(bench))).reason == "parked"
    bench.rig.clock.set(wake_at)
    async with bench.store.transaction() as transaction:
        claim = await claimed(transaction, wake_request(bench))
    assert not claim.created
    assert not claim.taken_over


@pytest.mark.rule("engine-1", "engine-5")
async def test_an_expired_lease_is_taken_over_with_the_next_epoch(bench: Bench) -> None:
    first = await leave(bench, Status.RUNNING, lease_seconds=1e-6)
    async with bench.store.transaction() as transaction:
        claim = await claimed(transaction, wake_request(bench))
        assert claim.taken_over
        assert claim.instance.epoch == first.instance.epoch + 1
        assert claim.instance.claims_without_progress == 1


@pytest.mark.rule("engine-1", "engine-23")
async def test_an_instance_that_was_given_back_is_free_at_once_and_nobody_lost_it(
    bench: Bench,
) -> None:
    await leave(bench, Status.RUNNING, lease_seconds=0.0)
    async with bench.store.transaction() as transaction:
        claim = await claimed(transaction, wake_request(bench))
        assert not claim.taken_over
        assert claim.instance.claims_without_progress == 0


@pytest.mark.rule("engine-5")
async def test_a_write_of_an_overtaken_claim_loses_it(bench: Bench) -> None:
    first = await leave(bench, Status.RUNNING, lease_seconds=0.0)
    first.instance.version = 1
    async with bench.store.transaction() as transaction:
        await claimed(transaction, wake_request(bench))
        await transaction.commit()
    async with bench.store.transaction() as transaction:
        with pytest.raises(LostClaim):
            await transaction.lock(first.instance)
    async with bench.store.transaction() as transaction:
        with pytest.raises(LostClaim):
            await transaction.write(first.instance, checkpoint(bench, Status.COMPLETE))


@pytest.mark.rule("engine-7")
async def test_a_write_after_a_commit_whose_answer_was_lost_loses_the_claim(bench: Bench) -> None:
    first = await leave(bench, Status.COMPLETE)
    assert first.instance.version == 0
    async with bench.store.transaction() as transaction:
        await transaction.lock(first.instance)
        with pytest.raises(LostClaim):
            await transaction.write(
                first.instance, checkpoint(bench, Status.RUNNING, lease_seconds=0.0)
            )
    loaded = await bench.store.load(KEY)
    assert loaded is not None
    assert loaded[0].status is Status.COMPLETE


@pytest.mark.rule("engine-5")
async def test_a_journal_key_is_written_once(bench: Bench) -> None:
    claim = await leave(bench, Status.RUNNING, lease_seconds=60.0, entries=(entry("a"),))
    claim.instance.version = 1
    async with bench.store.transaction() as transaction:
        await transaction.lock(claim.instance)
        again = checkpoint(bench, Status.RUNNING, entries=(entry("a"),))
        with pytest.raises(LostClaim):
            await transaction.write(claim.instance, again)


async def test_a_result_comes_back_to_the_byte(bench: Bench) -> None:
    texts = ["nul \x00", 'quote "', "back\\slash", "ünïcode \U0001f600", ""]
    result = msgspec.json.encode({"texts": texts, "number": 1.0, "large": 2**60})
    kept = msgspec.structs.replace(entry("a"), result=result)
    await leave(bench, Status.COMPLETE, entries=(kept,), output=result)
    loaded = await bench.store.load(KEY)
    assert loaded is not None
    assert loaded[0].output == result
    assert loaded[1] == [kept]


async def test_an_unfinished_entry_is_replaced_by_its_next_attempt(bench: Bench) -> None:
    claim = await leave(
        bench, Status.RUNNING, lease_seconds=60.0, entries=(entry("a", "retrying"),)
    )
    claim.instance.version = 1
    async with bench.store.transaction() as transaction:
        await transaction.lock(claim.instance)
        done = checkpoint(bench, Status.COMPLETE, entries=(entry("a"),))
        await transaction.write(claim.instance, done)
        await transaction.commit()
    loaded = await bench.store.load(KEY)
    assert loaded is not None
    assert [found.state for found in loaded[1]] == ["complete"]


async def test_a_locked_instance_is_trouble_for_another_transaction(bench: Bench) -> None:
    claim = await leave(bench, Status.RUNNING, lease_seconds=60.0)
    async with bench.store.transaction() as first, bench.store.transaction() as second:
        await first.lock(claim.instance)
        with pytest.raises(Transient):
            await second.lock(claim.instance)


async def test_what_is_not_committed_has_not_happened(bench: Bench) -> None:
    message = OutboxMessage(id="m", subject="events.sample.x", body=b"{}")
    async with bench.store.transaction() as transaction:
        claim = await claimed(transaction, start_request(bench))
        await transaction.connection.execute(
            "INSERT INTO effects (workflow_id, step) VALUES ($1, $2)", "one", "a"
        )
        await transaction.write(
            claim.instance,
            checkpoint(bench, Status.COMPLETE, entries=(entry("a"),), messages=(message,)),
        )
    assert await bench.store.load(KEY) is None
    assert await bench.store.unsent(KEY) == []
    assert await bench.effects("one") == []


@pytest.mark.rule("engine-26")
async def test_a_message_is_unsent_until_it_is_marked(bench: Bench) -> None:
    message = OutboxMessage(id="m", subject="events.sample.x", body=b"{}", headers={"A": "b"})
    await leave(bench, Status.COMPLETE, messages=(message,))
    assert await bench.store.unsent(KEY) == [message]
    await bench.store.mark_sent(["m"])
    await bench.store.flush_sent()
    assert await bench.store.unsent(KEY) == []


@pytest.mark.rule("engine-23")
async def test_claims_without_progress_are_counted_until_there_is_some(bench: Bench) -> None:
    await leave(bench, Status.RUNNING, lease_seconds=0.0)
    for expected in (1, 2):
        async with bench.store.transaction() as transaction:
            claim = await claimed(transaction, start_request(bench, redelivered=True))
            await transaction.commit()
        assert claim.instance.claims_without_progress == expected
    async with bench.store.transaction() as transaction:
        claim = await claimed(transaction, wake_request(bench))
        await transaction.write(claim.instance, checkpoint(bench, Status.RUNNING))
        await transaction.commit()
    loaded = await bench.store.load(KEY)
    assert loaded is not None
    assert loaded[0].claims_without_progress == 0


@pytest.mark.rule("engine-27")
async def test_a_dead_letter_is_kept_once(bench: Bench) -> None:
    letter = DeadLetter(
        origin="S/1/1",
        subject="workflows.sample.start",
        headers={"A": "b"},
        body=b"{",
        reason="undecodable",
        detail="why",
        at=bench.rig.clock.now(),
    )
    await bench.store.bury(letter)
    await bench.store.bury(letter)


@pytest.mark.rule("engine-1")
async def test_what_is_due_is_taken_once_and_again_after_a_while(bench: Bench) -> None:
    wake_at = bench.rig.clock.now() + timedelta(days=30)
    await leave(bench, Status.WAITING, wake_at=wake_at, due_at=wake_at)
    take = bench.store.take_due
    assert await take(wake_at - timedelta(microseconds=1), 10) == []
    assert await take(wake_at, 10) == [KEY]
    assert await take(wake_at, 10) == []
    assert await take(wake_at + timedelta(days=400), 10) == []


@pytest.mark.rule("engine-1")
async def test_business_time_expires_no_lease(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="asleep", sleep_seconds=60))
    await leave(bench, Status.RUNNING, lease_seconds=60.0)
    bench.rig.clock.advance(timedelta(days=30))
    assert await bench.store.take_due(bench.rig.clock.now(), 10) == [
        InstanceKey("sample", "asleep")
    ]
    assert (await refused(bench, wake_request(bench))).reason == "leased"


@pytest.mark.rule("engine-6")
async def test_a_frozen_worker_is_cut_off_and_its_commit_fails(bench: Bench) -> None:
    if type(bench).__name__ == "MemoryBench":
        # Nothing in memory cuts anybody off: the twin stands for a server that is never late.
        assert LEASE_SECONDS < 1
        return
    async with bench.store.transaction() as frozen:
        claim = await claimed(frozen, start_request(bench))
        await frozen.write(claim.instance, checkpoint(bench, Status.COMPLETE))
        async with asyncio.timeout(10):
            while True:
                async with bench.store.transaction() as other:
                    if isinstance(await other.claim(start_request(bench)), Claim):
                        break
        with pytest.raises(Transient):
            await frozen.commit()
