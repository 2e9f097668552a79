"""`padawanforge clock`: business time of a stack that runs on the virtual clock."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from services.stack.folder import StackFolder, StackInfo
from shared.jetstream.connection import Unreachable, close, connect
from shared.messages.clock import ClockReport, Instant
from shared.runtime.virtual.coordinator import Coordinator, Stalled
from shared.workflow.errors import Transient

DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?")


class ClockError(Exception):
    """The clock cannot be shown or advanced; the message says why and what to do."""


async def show(folder: Path, console: Console) -> bool:
    """Prints where each process's business time stands. Raises ClockError."""
    async with _stack(folder) as coordinator:
        await coordinator.now()
        answers = await coordinator.reports()
    table = Table("process", "business time", "due next")
    for report in sorted(answers.readings, key=lambda each: each.member):
        table.add_row(report.member, _told(report.instant), _due(report))
    for member in answers.silent:
        table.add_row(member, "does not answer", "")
    console.print(table)
    return True


async def advance(folder: Path, duration: str, console: Console) -> bool:
    """Advances by a duration such as 30d. Raises ClockError."""
    by = parse_duration(duration)
    return await _advance(folder, lambda now: now + by, console)


async def advance_to(folder: Path, instant: str, console: Console) -> bool:
    """Advances to an instant. Raises ClockError, also for one that is past."""
    target = parse_instant(instant)

    def later(now: datetime) -> datetime:
        if target < now:
            raise ClockError(f"business time is {_told(now)} already, and never goes back")
        return target

    return await _advance(folder, later, console)


def parse_duration(text: str) -> timedelta:
    """Days, hours, minutes and seconds, in this order. Raises ClockError."""
    match = DURATION.fullmatch(text)
    if not text or match is None:
        raise ClockError(f"{text!r} is no duration: write it like 30d, 12h, 90m or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse_instant(text: str) -> datetime:
    """An instant with a UTC offset. Raises ClockError."""
    try:
        return msgspec.convert(text, Instant)
    except msgspec.ValidationError as error:
        raise ClockError(
            f"{text!r} is no instant: write it with its offset, like 2026-03-01T08:00:00Z"
        ) from error


async def _advance(
    folder: Path, target_after: Callable[[datetime], datetime], console: Console
) -> bool:
    async with _stack(folder) as coordinator:
        now = await coordinator.now()
        target = target_after(now)
        started = monotonic()
        with Progress(
            TextColumn("{task.description}"), BarColumn(), console=console, transient=True
        ) as progress:
            bar = progress.add_task(_told(now), total=(target - now).total_seconds())

            def stopped(instant: datetime) -> None:
                done = (instant - now).total_seconds()
                progress.update(bar, completed=done, description=_told(instant))

            journey = await coordinator.advance(target, on_stop=stopped)
    days = (target - now) / timedelta(days=1)
    console.print(
        f"{days:.4g} virtual days in {monotonic() - started:.1f} s: the clock was set "
        f"{journey.stops} times, and {journey.deliveries} deliveries were made"
    )
    console.print(f"business time is {_told(target)}")
    return True


@asynccontextmanager
async def _stack(folder: Path) -> AsyncGenerator[Coordinator]:
    """A coordinator of the folder's running stack. Raises ClockError, for what is inside too."""
    path = StackFolder(folder).info_path
    try:
        info = msgspec.json.decode(path.read_bytes(), type=StackInfo)
    except FileNotFoundError:
        raise ClockError(
            f"no stack runs from {folder}: start one with make run CLOCK=virtual, or name its "
            "folder with --data"
        ) from None
    except msgspec.DecodeError as error:
        raise ClockError(f"{path} is damaged ({error}): start the stack again") from error
    if info.clock != "virtual":
        raise ClockError(
            f"the stack of {folder} runs on the system clock, which goes by itself: end it and "
            "start it with make run CLOCK=virtual"
        )
    try:
        client = await connect(info.nats_operator, "clock")
        try:
            yield Coordinator(client, tuple(info.databases))
        finally:
            await close(client)
    except (Stalled, Transient, Unreachable) as error:
        raise ClockError(str(error)) from error


def _due(report: ClockReport) -> str:
    if report.activity is None or report.activity.due_at is None:
        return ""
    return _told(report.activity.due_at)


def _told(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
