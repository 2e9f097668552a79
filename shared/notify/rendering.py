"""A notice as a person reads it: plain text from a template of its name."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from shared.messages.notices import Notice


class Template(NamedTuple):
    """`$name` stands for a fact of the notice's data, `$recipient` and `$key` for its own."""

    subject: str
    body: str


def render(notice: Notice, templates: Mapping[str, Template]) -> tuple[str, str]:
    """Subject and body. Raises KeyError for a fact that the notice does not have."""
    template = templates.get(notice.name)
    facts = {name: _text(value) for name, value in notice.data.items()}
    if template is None:
        lines = [f"{name}: {value}" for name, value in facts.items()]
        return notice.name.replace("_", " ").capitalize(), "\n".join(lines) + "\n"
    facts = {"recipient": notice.recipient, "key": notice.key} | facts
    subject, body = (string.Template(text).substitute(facts) for text in template)
    return subject, body


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
