"""Runs checks: all at once, each within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

import structlog

from services.maintenance.health.bounded import bounded
from services.maintenance.rules.health import attribute
from shared.messages.maintenance import ComponentHealth, HealthStatus
from shared.messages.problems import Refused
from shared.workflow.errors import Transient

log = structlog.get_logger()

TIMEOUT_SECONDS = 2.0


class Finding(NamedTuple):
    """What a look at a component found."""

    status: HealthStatus
    detail: str | None = None


class Failing(Exception):
    """The component fails; the text says how, without addresses or secrets."""


Look: TypeAlias = "Callable[[], Coroutine[Any, Any, Finding]]"


@dataclass(frozen=True)
class Check:
    """One component, how to look at it, and what it stands on."""

    component: str
    look: Look
    stands_on: Callable[[], Sequence[str]] = tuple
    """Components whose failure explains that of this one."""


async def run_all(
    checks: Sequence[Check],
    machine_now: Callable[[], datetime],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> tuple[ComponentHealth, ...]:
    """A result each, the failing ones with their causes, after `timeout_seconds` at the latest."""
    results = await asyncio.gather(*(_run(check, machine_now, timeout_seconds) for check in checks))
    return attribute(results, {check.component: check.stands_on() for check in checks})


async def _run(
    check: Check, machine_now: Callable[[], datetime], timeout_seconds: float
) -> ComponentHealth:
    began_seconds = monotonic()
    try:
        finding = await bounded(check.look(), timeout_seconds)
    except (Failing, TimeoutError) as error:
        finding = Finding("fail", str(error) or "no answer in time")
    except Exception as error:
        # Its own words may hold an address.
        log.info("health_check_raised", component=check.component, exc_info=not _usual(error))
        finding = Finding("fail", type(error).__name__)
    now = machine_now()
    return ComponentHealth(
        component=check.component,
        status=finding.status,
        detail=finding.detail,
        seconds=round(monotonic() - began_seconds, 3),
        checked_at=now,
        since=now,
    )


def _usual(error: Exception) -> bool:
    return isinstance(error, OSError | Transient | Refused)
