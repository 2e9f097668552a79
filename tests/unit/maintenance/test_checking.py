"""Checks that raise, say no, hang, or will not be cancelled."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from services.maintenance.health.bounded import bounded
from services.maintenance.health.running import Check, Failing, Finding, run_all


def now() -> datetime:
    return datetime(2026, 3, 2, 12, tzinfo=UTC)


async def fine() -> Finding:
    return Finding("pass")


async def resolved_but_unhealthy() -> Finding:
    return Finding("fail", "away")


async def failing() -> Finding:
    raise Failing("it says no")


async def raising() -> Finding:
    raise ValueError("postgresql://user:secret@host")


async def test_a_hanging_check_costs_its_time_even_if_it_ignores_cancellation() -> None:
    over = asyncio.Event()

    async def stubborn() -> Finding:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        return Finding("pass")

    checks = [
        Check("fine", fine),
        Check("unhealthy", resolved_but_unhealthy),
        Check("failing", failing),
        Check("raising", raising),
        Check("stubborn", stubborn),
    ]
    async with asyncio.timeout(30):
        results = await run_all(checks, now, timeout_seconds=0.2)
        assert not over.is_set()
        over.set()
    assert [(each.component, each.status, each.detail) for each in results] == [
        ("fine", "pass", None),
        ("unhealthy", "fail", "away"),
        ("failing", "fail", "it says no"),
        ("raising", "fail", "ValueError"),
        ("stubborn", "fail", "no answer within 0.2 s"),
    ]


async def test_work_that_is_given_up_is_cancelled_with_whoever_waits_for_it() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(bounded(work(), 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(30):
        await cancelled.wait()
