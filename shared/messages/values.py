"""What fields of every service's messages may hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

# PostgreSQL stores no NUL character, so text with one is refused where it comes in.
NO_NUL = r"^[^\x00]*\Z"

Cursor = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=1, le=100)]

Instant = Annotated[datetime, Meta(tz=True)]
"""With a UTC offset. One later than the service's own instant is taken as that."""

Email = Annotated[str, Meta(pattern=r"^[^@\s\x00]+@[^@\s\x00]+\Z", max_length=320)]
Name = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=100)]
SourceId = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=200)]
ZoneName = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=64)]
"""A name of the IANA time zone database, such as Europe/Berlin."""
