"""What fields of every service's messages may hold."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

# PostgreSQL stores no NUL character, so text with one is refused where it comes in.
NO_NUL = r"^[^\x00]*\Z"

Cursor = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=1, le=100)]
