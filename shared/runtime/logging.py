"""Structured logs: one JSON object a line on stdout, with UTC instants and without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.runtime.segments import SegmentHandler
from shared.workflow import tracing

REDACTED = "[redacted]"
SECRET_KEY = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|credential", re.IGNORECASE
)
URL_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]+@")
BEARER = re.compile(r"(?<=bearer )\S+", re.IGNORECASE)


def configure(service: str, level: str = "info", segments: SegmentHandler | None = None) -> None:
    """Sends structlog's and the standard library's records alike to stdout as JSON, and to log
    segments where there are any."""
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        add_trace_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *chain,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *chain],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    stdout = logging.StreamHandler(sys.stdout)
    handlers: list[logging.Handler] = [stdout] if segments is None else [stdout, segments]
    for handler in handlers:
        handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(level.upper())
    structlog.contextvars.bind_contextvars(service=service)


def add_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The trace that the record belongs to, if it belongs to one."""
    if (trace_id := tracing.trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Takes out what looks like a secret: values of telling keys, credentials inside URLs."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: str, value: Any) -> Any:
    if SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, str):
        return BEARER.sub(REDACTED, URL_CREDENTIALS.sub(f"{REDACTED}@", value))
    if isinstance(value, Mapping):
        inner = cast("Mapping[object, object]", value)
        return {str(name): _redacted(str(name), each) for name, each in inner.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", each) for each in cast("Sequence[object]", value)]
    return value
