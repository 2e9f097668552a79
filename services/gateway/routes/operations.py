"""What the API description tells of an address; each route has one, beside its handler."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import UnsetType

from shared.messages.contract import SERVICES
from shared.messages.workflows import TRIGGERS

UNAUTHORIZED = ("unauthorized",)
OF_BODY = (
    "malformed_json",
    "unsupported_media_type",
    "request_entity_too_large",
    "invalid_message",
)
"""What is refused of any JSON body."""
OF_KEY = ("invalid_idempotency_key",)
OF_SERVICE = ("service_unavailable",)
"""Of whatever a service is asked for."""


class Parameter(NamedTuple):
    """A part of the path in braces, or a field of the query."""

    name: str
    place: Literal["path", "query"]
    type: Any
    required: bool = True


class Operation(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    summary: str
    answer: Any
    status: int = 200
    codes: tuple[str, ...] = ()
    """Of every problem that it can answer with, but for a defect's."""
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    """Struct or type of the JSON body; bytes for one that is taken as it comes."""
    optional: frozenset[str] = frozenset()
    """Fields that the body need not have, though the Struct must."""
    subject: str | None = None
    """Where its request goes on NATS, whose examples are also its own."""
    route: str | None = None
    """The router's pattern, where the description has an address for each of its values."""
    description: str = ""
    idempotency_key: bool = False
    is_open: bool = False
    media_type: str = "application/json"
    located: bool = False
    """Whether the answer has a Location."""


def of_address(wanted: Any) -> Any:
    """The type as an address can have it: what is left out is not written as null."""
    if get_origin(wanted) in {Union, UnionType}:
        kept = [each for each in get_args(wanted) if each not in {NoneType, UnsetType}]
        return kept[0] if len(kept) == 1 else Union[tuple(kept)]  # noqa: UP007
    return wanted


class AnyContent(msgspec.Struct, frozen=True):
    """A JSON object."""


_one_of: Any = Literal
# What it may be is known at run time alone.

KIND = Parameter("kind", "query", _one_of[tuple(TRIGGERS)], required=False)
"""Needed where several kinds have the id."""
ANY_SERVICES: Any = _one_of[SERVICES]
"""A type with the names of the services."""
