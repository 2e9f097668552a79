"""Logs are JSON lines without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import structlog
from opentelemetry.trace import SpanKind

from shared.runtime.logging import configure
from shared.workflow import tracing


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_record_is_one_json_line_with_service_and_utc_instant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("player")
    structlog.get_logger().info("step_done", workflow_id="w1", attempts=2)

    record = json.loads(capsys.readouterr().out)
    instant = datetime.fromisoformat(record.pop("timestamp"))
    assert instant.utcoffset() == timedelta(0)
    assert record == {
        "event": "step_done",
        "level": "info",
        "service": "player",
        "workflow_id": "w1",
        "attempts": 2,
    }


def test_a_record_tells_the_trace_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    configure("player")
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with tracing.entered(
        "deliver", SpanKind.CONSUMER, {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    ):
        structlog.get_logger().info("step_done")
        logging.getLogger("library").warning("slow")

    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["trace_id"] for record in records] == [trace_id, trace_id]


def test_secrets_are_taken_out_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    configure("player")
    structlog.get_logger().info(
        "connected",
        api_key="hunter2",
        url="postgresql://player:hunter2@127.0.0.1/forge",
        headers={"Authorization": "Bearer hunter2", "Idempotency-Key": "kept"},
        tried=["nats://user:hunter2@a", "Bearer hunter2"],
    )

    line = capsys.readouterr().out
    assert "hunter2" not in line
    assert "kept" in line
    assert "127.0.0.1/forge" in line


def test_libraries_records_and_tracebacks_come_out_the_same_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("player", level="warning")
    logger = logging.getLogger("library")
    logger.info("left out")
    try:
        raise ValueError("cannot reach nats://user:hunter2@a")
    except ValueError:
        logger.exception("failed")

    record = json.loads(capsys.readouterr().out)
    assert (record["event"], record["level"]) == ("failed", "error")
    assert "ValueError: cannot reach nats://[redacted]@a" in record["exception"]
