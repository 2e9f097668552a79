"""What routes read from a request: its body, its parameters and its idempotency key."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from shared.messages import subjects
from shared.messages.decoding import decode
from shared.messages.problems import Refused

KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,200}")


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; no body at all is an empty one.

    Raises Refused with 415, 400 or 422, and aiohttp's own error with 413.
    """
    if not request.body_exists:
        return {}
    if request.content_type != "application/json":
        raise Refused(
            "unsupported_media_type",
            f"send the body as application/json, not {request.content_type}",
            status=415,
        )
    return decode(await request.read(), dict[str, Any])


def idempotency_key(request: web.Request) -> str | None:
    """The header Idempotency-Key. Raises Refused for one that NATS could not carry as it is."""
    key = request.headers.get(subjects.IDEMPOTENCY_KEY)
    if key is not None and not KEY_PATTERN.fullmatch(key):
        raise Refused(
            "invalid_idempotency_key",
            "it has 1 to 200 printable ASCII characters and no space",
            field=subjects.IDEMPOTENCY_KEY,
        )
    return key
