"""The process around a service: settings, signals and the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import structlog

from shared.jetstream.connection import Unreachable
from shared.runtime.config import ConfigurationError, load
from shared.runtime.crons import CronsChanged
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.logging import configure
from shared.runtime.segments import open_segments
from shared.runtime.service import Service
from shared.runtime.tracing import exporting
from shared.workflow.errors import Transient

log = structlog.get_logger()

S = TypeVar("S", bound=ServiceSettings)


def main(settings_type: type[S], define: Callable[[S], ServiceDefinition]) -> int:
    """The process of a service, until SIGTERM or SIGINT; returns its exit code."""
    try:
        settings = load(settings_type, os.environ)
        definition = define(settings)
        configure(definition.name, settings.log_level, open_segments(definition.name, settings))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        with exporting(definition.name, settings.otel_exporter_otlp_endpoint):
            failure = asyncio.run(_run(definition, settings))
    except (ConfigurationError, CronsChanged, Transient, Unreachable, OSError) as error:
        failure = str(error)
    if failure is not None:
        log.error("service_failed", service=definition.name, reason=failure)
    return 1 if failure is not None else 0


async def _run(definition: ServiceDefinition, settings: ServiceSettings) -> str | None:
    service = Service(definition, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    return await service.run()
