"""Which log segments are archived, and under what name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.messages.segments import ARCHIVED, service_and_opening


@dataclass(frozen=True)
class Segment:
    """A closed segment's file."""

    name: str
    closed_at: datetime


def due(files: Iterable[Segment], now: datetime, keep: timedelta, after: str = "") -> list[Segment]:
    """The segments that were closed more than `keep` ago, by name, those after `after`."""
    return sorted(
        (
            each
            for each in files
            if each.name > after
            and service_and_opening(each.name) is not None
            and now - each.closed_at > keep
        ),
        key=lambda each: each.name,
    )


def archive_name(segment: str) -> str:
    """Of the object that holds the segment."""
    return f"{segment}{ARCHIVED}"
