"""Where a process's spans go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind

from shared.runtime.tracing import exporting
from shared.workflow import tracing


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self, server: ThreadingHTTPServer):
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.paths: list[str] = []
        self.told: list[ExportTraceServiceRequest] = []


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taking.paths.append(self.path)
            taking.told.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taking = Collector(server)
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield taking
        server.shutdown()
        serving.join()


def test_what_a_process_did_has_reached_the_collector_when_it_ends(collector: Collector) -> None:
    with (
        exporting("player", collector.url),
        tracing.entered("deliver", SpanKind.CONSUMER, {}),
        tracing.span("commit"),
    ):
        pass

    assert collector.paths == ["/v1/traces"]
    (of_process,) = collector.told[0].resource_spans
    service = {each.key: each.value.string_value for each in of_process.resource.attributes}
    assert service["service.name"] == "player"
    (of_library,) = of_process.scope_spans
    assert [span.name for span in of_library.spans] == ["commit", "deliver"]


def test_nothing_is_recorded_after_the_end(collector: Collector) -> None:
    with exporting("player", collector.url):
        pass
    with tracing.entered("deliver", SpanKind.CONSUMER, {}) as span:
        assert not span.is_recording()


def test_without_a_collector_nothing_that_exports_is_even_loaded() -> None:
    program = (
        "import sys, services.player.app, services.gateway.app\n"
        "from shared.runtime.tracing import exporting\n"
        "with exporting('player', ''):\n"
        "    print([name for name in sys.modules if name.startswith(('opentelemetry.sdk',\n"
        "          'opentelemetry.exporter', 'google.protobuf', 'requests'))])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout.strip() == b"[]"
