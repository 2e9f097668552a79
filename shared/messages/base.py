"""What every message has in common: camelCase names on the wire, immutable in Python."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

MAX_CONTENT_BYTES = 1024 * 1024
"""Limit of one input, result or signal, encoded (engine rule 30)."""

IDENTIFIER_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$(?!\n)"
"""A workflow id. The look-ahead refuses the trailing newline that `$` alone lets through."""

WorkflowId = Annotated[str, msgspec.Meta(pattern=IDENTIFIER_PATTERN)]


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all messages; unknown fields are ignored, so a newer sender is understood."""


def is_workflow_id(text: str) -> bool:
    """Whether `text` can be the id of an instance."""
    try:
        msgspec.convert(text, WorkflowId)
    except msgspec.ValidationError:
        return False
    return True


def encode(message: Any) -> bytes:
    """The message as JSON bytes, as they travel."""
    return msgspec.json.encode(message)
