"""The engine's rules, on the twins and on the real servers alike."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from shared.messages.workflows import Action, Status
from shared.testing.memory_delivery import MemoryDelivery
from shared.testing.samples import StartSample
from shared.workflow.records import Claim, InstanceKey
from tests.conformance.conftest import Bench

STEPS = [f"step_{number}" for number in range(5)]


@pytest.mark.rule("engine-8")
async def test_a_run_commits_its_steps_output_and_facts_at_once(bench: Bench) -> None:
    assert await bench.rig.start(StartSample(id="one")) == "complete"
    status = await bench.rig.status("sample", "one")
    assert status.status is Status.COMPLETE
    assert status.completed_steps == tuple(STEPS)
    assert status.version == 1
    assert await bench.effects("one") == STEPS
    await bench.store.flush_sent()
    assert await bench.store.unsent(InstanceKey("sample", "one")) == []


@pytest.mark.rule("engine-11")
async def test_a_redelivery_after_the_end_changes_nothing(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one"))
    before = await bench.rig.status("sample", "one")
    assert await bench.rig.start(StartSample(id="one"), attempt=2) == "ended"
    assert await bench.rig.status("sample", "one") == before
    assert await bench.effects("one") == STEPS


@pytest.mark.rule("engine-8")
async def test_a_failing_step_is_retried_alone_with_its_attempts_counted(bench: Bench) -> None:
    outcome = await bench.rig.start(StartSample(id="one", fail_step=2, failures=1))
    assert outcome == "parked"
    waiting = await bench.rig.status("sample", "one")
    assert waiting.status is Status.WAITING
    assert waiting.completed_steps == ("step_0", "step_1")
    assert waiting.steps[2].status == "retrying"
    assert waiting.steps[2].attempts == 1
    assert await bench.effects("one") == ["step_0", "step_1"]
    assert await bench.rig.advance(timedelta(seconds=9)) == []
    assert await bench.rig.advance(timedelta(seconds=1)) == ["complete"]
    done = await bench.rig.status("sample", "one")
    assert done.steps[2].attempts == 2
    assert await bench.effects("one") == STEPS


@pytest.mark.rule("engine-8")
async def test_attempts_end_after_the_last_that_the_policy_allows(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one", fail_step=1, failures=9))
    assert await bench.rig.advance(timedelta(seconds=10)) == ["parked"]
    assert await bench.rig.advance(timedelta(seconds=20)) == ["errored"]
    status = await bench.rig.status("sample", "one")
    assert status.error is not None
    assert (status.error.name, status.error.step) == ("RuntimeError", "step_1")
    assert status.error.message == "failure 3 of 9"
    assert status.steps[1].attempts == 3
    assert await bench.effects("one") == ["step_0"]


async def test_a_non_retryable_error_ends_at_once(bench: Bench) -> None:
    start = StartSample(id="one", fail_step=1, failures=9, final=True)
    assert await bench.rig.start(start) == "errored"
    status = await bench.rig.status("sample", "one")
    assert status.error is not None
    assert (status.error.name, status.error.step) == ("asked_for", "step_1")
    assert status.steps[1].attempts == 1


@pytest.mark.rule("player-step-failure")
async def test_a_tolerated_failure_is_recorded_and_the_run_completes(bench: Bench) -> None:
    start = StartSample(id="one", fail_step=1, failures=9, final=True, tolerate=True)
    assert await bench.rig.start(start) == "complete"
    status = await bench.rig.status("sample", "one")
    assert status.completed_steps == ("step_0", "step_2", "step_3", "step_4")
    assert [(error.name, error.step) for error in status.errors] == [("asked_for", "step_1")]
    assert status.error is None
    assert await bench.effects("one") == ["step_0", "step_2", "step_3", "step_4"]


async def test_a_skipped_step_is_recorded_but_not_completed(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one", skip_step=3))
    status = await bench.rig.status("sample", "one")
    assert "step_3" not in status.completed_steps
    assert status.steps[3].status == "skipped"


@pytest.mark.rule("engine-1", "engine-21")
async def test_a_sleep_parks_until_its_instant_and_moves_now(bench: Bench) -> None:
    begun = bench.rig.clock.now()
    assert await bench.rig.start(StartSample(id="one", sleep_seconds=3600)) == "parked"
    waiting = await bench.rig.status("sample", "one")
    assert waiting.status is Status.WAITING
    assert waiting.wake_at == begun + timedelta(hours=1)
    assert await bench.rig.advance(timedelta(hours=1)) == ["complete"]
    output = msgspec.convert(await bench.rig.output("sample", "one"), dict[str, object])
    assert output["now"] == (begun + timedelta(hours=1)).isoformat()
    assert await bench.effects("one") == STEPS


@pytest.mark.rule("engine-2")
async def test_an_early_and_a_repeated_wake_change_nothing(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one", sleep_seconds=3600))
    before = await bench.rig.status("sample", "one")
    assert await bench.rig.wake("sample", "one") == "parked"
    assert await bench.rig.status("sample", "one") == before
    await bench.rig.advance(timedelta(hours=1))
    assert await bench.rig.wake("sample", "one") == "ended"
    assert await bench.effects("one") == STEPS


async def test_a_start_in_the_future_waits_for_its_instant(bench: Bench) -> None:
    start_at = bench.rig.clock.now() + timedelta(days=2)
    assert await bench.rig.start(StartSample(id="one", start_at=start_at)) == "parked"
    assert await bench.effects("one") == []
    assert await bench.rig.advance(timedelta(days=2)) == ["complete"]
    output = msgspec.convert(await bench.rig.output("sample", "one"), dict[str, object])
    assert output["now"] == start_at.isoformat()


@pytest.mark.rule("engine-16")
@pytest.mark.parametrize(
    ("headers", "body_id", "expected"),
    [
        ({"Workflow-Id": "from-header", "Nats-Msg-Id": "m"}, "from-body", "from-header"),
        ({"Nats-Msg-Id": "m"}, "from-body", "from-body"),
        ({"Nats-Msg-Id": "from-message"}, None, "from-message"),
        ({"Nats-Msg-Id": "not an id"}, None, "69e0650e-4264-5bb9-b4f8-0922eed10977"),
        ({}, None, "a8d99d47-5d18-56ad-8ecb-c916536863e3"),
    ],
)
async def test_a_bare_publish_finds_its_id(
    bench: Bench, headers: dict[str, str], body_id: str | None, expected: str
) -> None:
    body = msgspec.json.encode({"id": body_id} if body_id else {})
    delivery = MemoryDelivery("workflows.sample.start", body, headers, origin="S/2026/7")
    assert await bench.rig.executor.deliver(delivery) == "complete"
    assert (await bench.rig.status("sample", expected)).status is Status.COMPLETE


@pytest.mark.rule("engine-27")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b'{"steps": "many"}', {}),
        (b"[]", {}),
        (b'{"id": "../etc"}', {}),
        (b"{}", {"Workflow-Id": "no spaces"}),
        (b'{"startAt": "2026-03-01T08:00:00"}', {}),
        (b"\xff\xfe", {}),
        (b'{"deep":' + b"[" * 5000, {}),
        (b'{"pad": "' + b"x" * 1024 * 1024 + b'"}', {}),
    ],
)
async def test_what_is_no_command_goes_to_the_dead_letters(
    bench: Bench, body: bytes, headers: dict[str, str]
) -> None:
    for attempt in (1, 2):
        delivery = MemoryDelivery("workflows.sample.start", body, headers, attempt=attempt)
        assert await bench.rig.executor.deliver(delivery) == "undecodable"
        assert delivery.settled == "term undecodable"
    assert await bench.rig.advance(timedelta(days=1)) == []


@pytest.mark.rule("engine-23")
async def test_a_poisoned_instance_ends_errored(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one", fail_step=0, failures=1))
    bench.rig.clock.advance(timedelta(seconds=10))
    for _ in range(9):
        async with bench.store.transaction() as transaction:
            claim = await bench.rig.claim(transaction, "sample", "one")
            assert isinstance(claim, Claim)
            await transaction.commit()
    assert await bench.rig.wake("sample", "one", attempt=2) == "errored"
    status = await bench.rig.status("sample", "one")
    assert status.error is not None
    assert status.error.name == "poisoned"


@pytest.mark.rule("engine-12", "engine-14")
@pytest.mark.parametrize("action", [Action.PAUSE, Action.RESUME, Action.TERMINATE])
async def test_a_control_that_comes_after_the_end_does_not_lie_about(
    bench: Bench, action: Action
) -> None:
    await bench.rig.start(StartSample(id="one", steps=1))
    assert await bench.rig.control("sample", "one", action) == "ended"
    assert await bench.store.unread(InstanceKey("sample", "one")) == []
    assert await bench.dead_letters() == [("workflow_ended", "workflows.sample.control")]
