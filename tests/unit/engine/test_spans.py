"""The spans of a run, on the twins in memory."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import FrameType
from typing import Any

from opentelemetry.trace import SpanKind

from shared.messages import subjects
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.testing.tracing import recorded_spans
from shared.workflow import tracing
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
PATIENT = EngineSettings(segment_seconds=30)
"""No slow machine breaks a segment up."""


def rig() -> Rig:
    return Rig([register(StartSample, SampleWorkflow())], settings=PATIENT)


def event_headers(rig: Rig) -> list[dict[str, str]]:
    assert isinstance(rig.publisher, MemoryPublisher)
    return [message.headers for message in rig.publisher.stored.values()]


async def deliver(rig: Rig, headers: dict[str, str], **start: Any) -> str:
    """A start as a service's consumer hands it on."""
    with tracing.entered("deliver", SpanKind.CONSUMER, headers):
        return await rig.start(StartSample(id="one", **start))


async def test_a_run_is_its_steps_and_one_commit_inside_the_delivery() -> None:
    with recorded_spans() as spans:
        await deliver(rig(), {}, steps=2)

    assert spans.names == ["step step_0", "step step_1", "commit", "deliver"]
    delivery = spans.one("deliver")
    assert {span.parent_id for span in spans.all[:3]} == {delivery.id}
    assert delivery.attributes == {"kind": "sample", "workflow_id": "one"}
    assert spans.one("step step_1").attributes == {"step": "step_1", "attempt": 1}
    assert spans.one("commit").attributes == {"status": "complete"}


async def test_each_attempt_is_a_span_and_tells_of_its_error_the_type_alone() -> None:
    bench = rig()
    with recorded_spans() as spans:
        await deliver(bench, {}, steps=1, fail_step=0, failures=2)
        for _ in range(2):
            bench.clock.advance(timedelta(minutes=1))
            with tracing.entered("deliver", SpanKind.CONSUMER, {}):
                await bench.wake("sample", "one")

    attempts = spans.named("step step_0")
    assert [span.attributes["attempt"] for span in attempts] == [1, 2, 3]
    assert [span.failed for span in attempts] == [True, True, False]
    assert attempts[0].attributes["error.type"] == "RuntimeError"
    assert "failure 1 of 2" not in attempts[0].text


async def test_an_event_carries_the_span_of_the_step_that_published_it() -> None:
    bench = rig()
    with recorded_spans() as spans:
        await deliver(bench, {}, steps=2)

    carried = [headers[subjects.TRACEPARENT].split("-")[2] for headers in event_headers(bench)]
    steps = [*spans.named("step step_0"), *spans.named("step step_1")]
    assert carried == [span.id for span in steps]


async def test_a_process_that_records_nothing_hands_the_trace_on() -> None:
    bench = rig()
    await deliver(bench, {subjects.TRACEPARENT: TRACEPARENT}, steps=1)
    assert event_headers(bench) == [{subjects.TRACEPARENT: TRACEPARENT}]


async def test_without_a_trace_a_step_costs_a_dozen_calls() -> None:
    bench, steps, calls = rig(), 50, 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        module = str(frame.f_globals.get("__name__"))
        calls += event == "call" and module.startswith("opentelemetry.")

    sys.setprofile(count)
    try:
        await deliver(bench, {}, steps=steps)
    finally:
        sys.setprofile(None)
    assert event_headers(bench) == [{}] * steps
    assert 0 < calls <= 13 * steps
