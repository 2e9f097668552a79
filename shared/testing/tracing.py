"""The spans of a test, kept in memory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry.sdk.trace import (  # noqa: TID251 - spans are kept here
    ReadableSpan,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: TID251
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: TID251
    InMemorySpanExporter,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: TID251
from opentelemetry.trace import StatusCode

from shared.workflow import tracing


class RecordedSpan(NamedTuple):
    """A span that has ended; ids as in `traceparent`."""

    name: str
    trace_id: str
    id: str
    parent_id: str | None
    attributes: dict[str, object]
    failed: bool
    linked: tuple[str, ...]
    """The traces it has links to."""
    text: str
    """All that would be exported."""


class Spans:
    """The spans that have ended so far, in the order of their ends."""

    def __init__(self, exporter: InMemorySpanExporter):
        self._exporter = exporter

    @property
    def all(self) -> list[RecordedSpan]:
        """Each of them."""
        return [_recorded(span) for span in self._exporter.get_finished_spans()]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.all]

    def named(self, name: str) -> list[RecordedSpan]:
        """Those of one name."""
        return [span for span in self.all if span.name == name]

    def of(self, trace_id: str) -> list[RecordedSpan]:
        """Those of one trace."""
        return [span for span in self.all if span.trace_id == trace_id]

    def one(self, name: str) -> RecordedSpan:
        """The only one of its name. Raises ValueError when it is not."""
        (span,) = self.named(name)
        return span


def _recorded(span: ReadableSpan) -> RecordedSpan:
    context = span.get_span_context()
    if context is None:
        raise ValueError(f"{span.name} has no context")
    return RecordedSpan(
        name=span.name,
        trace_id=f"{context.trace_id:032x}",
        id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        attributes=dict(span.attributes or {}),
        failed=span.status.status_code is StatusCode.ERROR,
        linked=tuple(f"{link.context.trace_id:032x}" for link in span.links),
        text=span.to_json(),
    )


@contextmanager
def recorded_spans() -> Generator[Spans]:
    """Records every span meanwhile."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.recorded_by(provider.get_tracer("tests")):
        yield Spans(exporter)
