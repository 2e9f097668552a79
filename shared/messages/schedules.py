"""Schedules of a service: requests on `commands.<service>.<name>`, and what answers them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from shared.messages.base import Message

SCHEDULE_NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\Z"
"""Shorter than an instance's id by the room for an instant, or for a UUID."""

ScheduleName = Annotated[str, msgspec.Meta(pattern=SCHEDULE_NAME_PATTERN)]


class AllSchedules(Message, frozen=True, kw_only=True):
    """`schedules`: answers Schedules."""


class BySchedule(Message, frozen=True, kw_only=True):
    """`pause_schedule` and `resume_schedule` answer Schedule, `trigger_schedule` Accepted."""

    name: ScheduleName


class Schedule(Message, frozen=True, kw_only=True):
    """A cron as callers see it."""

    service: str
    name: str
    kind: str
    expression: str
    time_zone: str
    input: msgspec.Raw
    """Trigger of its runs."""
    next_at: datetime | None
    """Nominal time of the next run; None while it is paused."""
    last_at: datetime | None
    """Nominal time of the last run."""
    paused_at: datetime | None = None
    paused_by: str | None = None


class Schedules(Message, frozen=True, kw_only=True):
    """Every schedule, by its name."""

    schedules: tuple[Schedule, ...]
