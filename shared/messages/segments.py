"""Log segments: what their files are called, and what is told of an archived one."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shared.messages.base import Message

OPEN = ".open"
CLOSED = ".jsonl"
ARCHIVED = ".gz"
INSTANT = "%Y%m%dT%H%M%S.%fZ"
NAME = re.compile(r"(?P<service>[a-z][a-z_-]*)-(?P<opened>\d{8}T\d{6}\.\d{6}Z)-[\w-]+\.jsonl")


class Manifest(Message, frozen=True, kw_only=True):
    """What an archived segment was: enough to tell whether it is whole."""

    service: str
    opened_at: datetime
    closed_at: datetime
    """When it was last written to."""
    size_bytes: int
    sha256: str
    gzip_sha256: str


def stem(service: str, opened_at: datetime, unique: str) -> str:
    """A segment's name without what tells whether it is closed."""
    return f"{service}-{opened_at.astimezone(UTC).strftime(INSTANT)}-{unique}"


def service_and_opening(name: str) -> tuple[str, datetime] | None:
    """Of a closed segment, by its file's name; None of any other file."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    try:
        opened_at = datetime.strptime(match["opened"], INSTANT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return match["service"], opened_at
