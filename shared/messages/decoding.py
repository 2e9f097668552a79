"""Bodies and values as messages; what does not fit is refused with the field named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from shared.messages.base import IDENTIFIER_PATTERN
from shared.messages.maintenance.keys import SCOPE_PATTERN
from shared.messages.problems import Refused
from shared.messages.schedules import SCHEDULE_NAME_PATTERN

T = TypeVar("T")

PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?:\$|key in \$)\.?(?P<path>[^`]*)`)?$", re.DOTALL)
MISSING = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]+)`")
NAMED = re.compile(r"^`(?P<name>\w+)`")
"""How our own checks begin: with the field that they are about."""


PATTERNS = {
    IDENTIFIER_PATTERN: "Expected 1 to 100 letters, digits, `_` or `-`, the first no `-`",
    SCHEDULE_NAME_PATTERN: "Expected 1 to 63 letters, digits, `_` or `-`, the first no `-`",
    SCOPE_PATTERN: "Expected `*`, or a scope such as `player:start` or `player:*`",
}


def decode(body: bytes, message: type[T]) -> T:
    """The body as a message. Raises Refused: 400 for malformed JSON, 422 for another shape."""
    return _refusing(lambda: msgspec.json.decode(body, type=message))


def convert(value: Any, message: type[T]) -> T:
    """Decoded JSON as a message. Raises Refused with status 422 for another shape."""
    return _refusing(lambda: msgspec.convert(value, message))


def _refusing(reading: Callable[[], T]) -> T:
    try:
        return reading()
    except msgspec.ValidationError as error:
        detail, field = place(str(error))
        raise Refused("invalid_message", detail, field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("malformed_json", f"the body is not JSON: {error}", status=400) from error
    except RecursionError as error:
        raise Refused("malformed_json", "the JSON is nested too deeply", status=400) from error


def place(text: str) -> tuple[str, str | None]:
    """msgspec's words apart: what is wrong, and the path of the field, such as `reward.xp`."""
    found = PLACE.match(text)
    what, path = (found["what"], found["path"] or "") if found else (text, "")
    if "matching regex" in what:
        # A pattern tells a program's author little; what it means does.
        what = next((words for pattern, words in PATTERNS.items() if pattern in _plain(what)), what)
    named = MISSING.search(what) or NAMED.match(what)
    if named is not None:
        path = f"{path}.{named['name']}" if path else named["name"]
    return what, path or None


def _plain(text: str) -> str:
    # msgspec shows a pattern as Python would write it.
    return text.replace("\\\\", "\\")
