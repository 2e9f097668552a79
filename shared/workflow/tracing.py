"""Spans, and the trace context that message headers carry (W3C Trace Context).

Knows the API of OpenTelemetry alone, which does no I/O: what becomes of the spans is the process's
to say. One that records nothing still hands on the trace that it was given.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from shared.messages import subjects

# Not the library's global one: it would send a caller's baggage along, whatever is in it.
_propagator = TraceContextTextMapPropagator()
_tracer: Tracer = NoOpTracer()
_NO_SPAN = nullcontext(INVALID_SPAN)


@contextmanager
def recorded_by(tracer: Tracer) -> Generator[None]:
    """Has `tracer` record the process's spans meanwhile; without one nothing is recorded."""
    global _tracer  # noqa: PLW0603 - one a process, as logs and metrics are
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before


def entered(
    title: str, role: SpanKind, headers: Mapping[str, str], /, **attributes: AttributeValue
) -> AbstractContextManager[Span]:
    """A span around what came in: within the sender's trace, else the first of a new one.

    Headers that carry no valid context count as none.
    """
    return _current(_tracer.start_span(title, _context(headers), role, attributes))


def span(
    title: str,
    role: SpanKind = SpanKind.INTERNAL,
    /,
    *,
    written: Mapping[str, str] | None = None,
    **attributes: AttributeValue,
) -> AbstractContextManager[Span]:
    """A span around a part of what came in; where there is no trace it makes none.

    `written` are the headers of a message that was written earlier: where they carry a context,
    the span belongs to that.
    """
    within = _context(written) if written and subjects.TRACEPARENT in written else None
    if not get_current_span(within).get_span_context().is_valid:
        return _NO_SPAN
    return _current(_tracer.start_span(title, within, role, attributes))


def annotate(**attributes: AttributeValue) -> None:
    """Adds to the current span what was not known when it began."""
    get_current_span().set_attributes(attributes)


def link(traceparent: str | None) -> None:
    """Links the current span to another trace, unless it lies in that one."""
    span = get_current_span()
    if traceparent is None or not span.is_recording():
        return
    other = get_current_span(_context({subjects.TRACEPARENT: traceparent})).get_span_context()
    if other.trace_id != span.get_span_context().trace_id:
        span.add_link(other)


def outgoing() -> dict[str, str]:
    """The headers that carry the current trace to whoever takes a message; none without one."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return headers


def trace_id() -> str | None:
    """Id of the current trace, 32 hexadecimal digits, if there is one."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def _context(headers: Mapping[str, str]) -> Context:
    # Libraries of other languages capitalise the names.
    return _propagator.extract({name.lower(): value for name, value in headers.items()}, Context())


@contextmanager
def _current(span: Span) -> Generator[Span]:
    """Of an error the span tells the type alone: its text may hold what is nobody's business."""
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
