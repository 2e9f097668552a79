"""Where a process's spans go: to the OpenTelemetry collector of its settings, or nowhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import Timer

from shared.workflow import tracing

FLUSH_SECONDS = 5.0
"""How long the end of a process tries to reach a collector; an attempt in flight runs out first."""


@contextmanager
def exporting(service: str, endpoint: str) -> Generator[None]:
    """Around a process's life: sends its spans to `endpoint` (OTLP over HTTP), none when empty.

    What is left is sent at the end. Sampling, credentials and time-outs are the library's own
    variables.
    """
    if not endpoint:
        yield
        return
    # The SDK, protobuf and an HTTP client, which most processes never need.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415, TID251
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415, TID251
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415, TID251
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415, TID251

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        with tracing.recorded_by(provider.get_tracer("padawanforge")):
            yield
    finally:
        impatience = Timer(FLUSH_SECONDS, exporter.shutdown)
        impatience.start()
        provider.shutdown()
        impatience.cancel()
