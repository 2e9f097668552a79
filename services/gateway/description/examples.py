"""Examples of messages: those of the documentation, which the tests try."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec

_FILE = files("services.gateway.description").joinpath("examples.json")
EXAMPLES: dict[str, Any] = msgspec.json.decode(_FILE.read_bytes())
"""By subject and Struct, as `commands.player.spend Spend`; of an answer as `answer Progress`."""
_BY_SUBJECT = {about.partition(" ")[0]: value for about, value in reversed(EXAMPLES.items())}


def of(subject: str) -> Any:
    """The example of what travels on a subject, or None. A command may be a fact, told there."""
    fact = subject.replace("commands.", "ingest.", 1)
    found = (_BY_SUBJECT.get(each) for each in (subject, fact))
    return next((each for each in found if each is not None), None)


def answer(struct: str) -> Any:
    """The example of an answer, or None."""
    return EXAMPLES.get(f"answer {struct}")
