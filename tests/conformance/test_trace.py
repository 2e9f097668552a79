"""An instance remembers the trace that it was started under."""

from __future__ import annotations

from datetime import timedelta

from opentelemetry.trace import SpanKind

from shared.messages import subjects
from shared.testing.samples import StartSample
from shared.testing.tracing import recorded_spans
from shared.workflow import tracing
from tests.conformance.conftest import Bench

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
FIRST = {subjects.TRACEPARENT: f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
SLEEPER = StartSample(id="w1", steps=3, sleep_seconds=60)


async def test_a_wake_is_a_trace_of_its_own_linked_to_the_start(bench: Bench) -> None:
    with recorded_spans() as spans:
        with tracing.entered("start", SpanKind.CONSUMER, FIRST):
            await bench.rig.start(SLEEPER)
        bench.rig.clock.advance(timedelta(minutes=2))
        with tracing.entered("wake", SpanKind.CONSUMER, {}):
            assert await bench.rig.wake("sample", "w1") == "complete"

    start, wake = spans.one("start"), spans.one("wake")
    assert (start.trace_id, start.linked) == (TRACE_ID, ())
    assert wake.trace_id != TRACE_ID
    assert wake.linked == (TRACE_ID,)


async def test_an_instance_started_outside_a_trace_has_none_to_link_to(bench: Bench) -> None:
    await bench.rig.start(SLEEPER)
    bench.rig.clock.advance(timedelta(minutes=2))
    with recorded_spans() as spans, tracing.entered("wake", SpanKind.CONSUMER, {}):
        assert await bench.rig.wake("sample", "w1") == "complete"

    assert spans.one("wake").linked == ()
