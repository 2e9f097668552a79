"""Calls that become one request to a service: a table of addresses, and what they all do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID, uuid4, uuid5

import msgspec
from aiohttp import web

from services.gateway.caching import CachedRequests
from services.gateway.middleware import ACTOR
from services.gateway.routes.reading import idempotency_key, read_object
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, Message, encode
from shared.messages.decoding import convert
from shared.messages.maintenance import CacheName
from shared.messages.problems import Refused
from shared.messages.workflows import TRIGGERS

ANY_SERVICE = "{service}"
"""In a subject: the service that the address names, in its path or as `?service=`."""

NAMESPACE = UUID("6c0b7d0e-8d0c-5f0f-9d53-1d1d5b1f7a42")
"""Root of the entity ids that follow from an idempotency key."""


class Forward(NamedTuple):
    """One address. Parts of the path in braces are fields of the message, by their wire names."""

    method: str
    path: str
    subject: str
    message: type[Message]
    status: int = 200
    new_id: str | None = None
    """Field of the body that is given an id where the caller leaves it out."""
    cache: CacheName | None = None
    """Keeps the answers of a GET; any other method invalidates it."""


def routes(
    table: Sequence[Forward], requests: Requests, cached: CachedRequests
) -> list[web.RouteDef]:
    """The table as aiohttp takes it."""
    return [web.route(row.method, row.path, _handler(row, requests, cached)) for row in table]


def _handler(
    row: Forward, requests: Requests, cached: CachedRequests
) -> Callable[[web.Request], Awaitable[web.Response]]:
    wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(row.message)}
    hints = get_type_hints(row.message, include_extras=True)
    types = {wire: hints[name] for name, wire in wire_names.items()}

    async def handle(request: web.Request) -> web.Response:
        key = idempotency_key(request)
        subject = row.subject
        if ANY_SERVICE in subject:
            subject = subject.replace(ANY_SERVICE, _service(request))
        if row.method == "GET":
            fields = {
                name: _from_text(name, text, types[name])
                for name, text in request.query.items()
                if name in types
            }
        else:
            fields = await read_object(request)
            _fill(row, fields, types, key)
        for name, text in request.match_info.items():
            if name == "service":
                continue
            value = _from_text(name, text, types[name])
            if name in fields and convert(fields[name], types[name]) != value:
                raise Refused(
                    "contradiction", f"the body has another {name} than the address", field=name
                )
            fields[name] = value
        body = encode(convert(fields, row.message))
        if len(body) > MAX_CONTENT_BYTES:
            raise Refused(
                "too_large", f"{len(body)} bytes; {MAX_CONTENT_BYTES} are allowed", status=413
            )
        headers = {subjects.ACTOR: request[ACTOR]}
        if key is not None and row.method != "GET":
            headers[subjects.IDEMPOTENCY_KEY] = key
        ask = partial(requests.send, subject, body, headers)
        if row.cache is None:
            reply = await ask()
        elif row.method == "GET":
            reply = await cached.read(row.cache, subject, body, ask)
        else:
            reply = await cached.change(row.cache, ask)
        return web.Response(body=reply, status=row.status, content_type="application/json")

    return handle


def _service(request: web.Request) -> str:
    """The service that the address names. Raises Refused for none, or one that there is not."""
    name = request.match_info.get("service") or request.query.get("service", "")
    known = sorted({trigger.service for trigger in TRIGGERS.values()})
    if name not in known:
        raise Refused(
            "unknown_service",
            f"there is no service {name!r}; there are: {', '.join(known)}",
            status=404,
            field="service",
        )
    return name


def _fill(row: Forward, fields: dict[str, Any], types: dict[str, Any], key: str | None) -> None:
    """Adds what a caller may leave out."""
    if "key" in types and key is not None:
        fields.setdefault("key", key)
    if row.new_id is not None and row.new_id not in fields:
        # A repeated request must name the same entity as its first attempt.
        made = uuid4() if key is None else uuid5(NAMESPACE, f"{row.subject}/{key}")
        fields[row.new_id] = str(made)


def _from_text(name: str, text: str, wanted: Any) -> Any:
    """A part of the path or of the query as its field's type; a body is taken more strictly."""
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise Refused("invalid_parameter", f"{name}: {error}", field=name) from error
