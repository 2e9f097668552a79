"""Calls that become one request to a service: a table of addresses, and what they all do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID, uuid4, uuid5

import msgspec
from aiohttp import web

from services.gateway.caching import CachedRequests
from services.gateway.middleware import ACTOR
from services.gateway.routes.operations import (
    ANY_SERVICES,
    OF_BODY,
    OF_KEY,
    OF_SERVICE,
    UNAUTHORIZED,
    Operation,
    Parameter,
    of_address,
)
from services.gateway.routes.reading import idempotency_key, read_object
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, Message, encode
from shared.messages.contract import CALLS, SERVICES
from shared.messages.decoding import convert
from shared.messages.maintenance import CacheName
from shared.messages.problems import Refused

ANY_SERVICE = "{service}"
"""In a subject: the service that the address names, in its path or as `?service=`."""

PART = re.compile(r"{(\w+)}")

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


BODILESS = frozenset({"GET", "DELETE"})
"""Methods whose fields are in the address alone."""


def described(row: Forward) -> Operation:
    """What the API description tells of it. Raises KeyError for a request that is not in
    shared/messages/contract.py."""
    call = CALLS[row.subject.replace(ANY_SERVICE, SERVICES[0])]
    takes_body = row.method not in BODILESS
    types = _types(row.message)
    in_path = [name for name in PART.findall(row.path) if name != "service"]
    parameters = [Parameter(name, "path", types[name]) for name in in_path]
    if not takes_body:
        query = [name for name in types if name not in in_path]
        parameters += [Parameter(name, "query", types[name], required=False) for name in query]
    codes = [*UNAUTHORIZED]
    if takes_body:
        codes += OF_BODY
    if parameters:
        codes.append("invalid_parameter")
    if in_path and takes_body:
        codes.append("contradiction")
    if row.method != "GET":
        codes += [*OF_KEY, "idempotency_key_reused"]
    if ANY_SERVICE in row.subject:
        parameters.append(
            Parameter("service", "path" if ANY_SERVICE in row.path else "query", ANY_SERVICES)
        )
        codes.append("unknown_service")
    return Operation(
        row.method,
        row.path,
        call.name.replace("_", " ").capitalize(),
        call.answer,
        row.status,
        (*codes, *call.refusals, *OF_SERVICE),
        tuple(parameters),
        body=row.message if takes_body else None,
        optional=frozenset({*in_path, "key", *([row.new_id] if row.new_id else [])}),
        subject=row.subject.replace(ANY_SERVICE, "player"),
        description=(row.message.__doc__ or "").partition(": ")[2],
        idempotency_key=row.method != "GET",
    )


def routes(
    table: Sequence[Forward], requests: Requests, cached: CachedRequests
) -> list[web.RouteDef]:
    """The table as aiohttp takes it."""
    return [web.route(row.method, row.path, _handler(row, requests, cached)) for row in table]


def _handler(
    row: Forward, requests: Requests, cached: CachedRequests
) -> Callable[[web.Request], Awaitable[web.Response]]:
    types = _types(row.message)

    async def handle(request: web.Request) -> web.Response:
        key = None if row.method == "GET" else idempotency_key(request)
        subject = row.subject
        if ANY_SERVICE in subject:
            subject = subject.replace(ANY_SERVICE, _service(request))
        if row.method in BODILESS:
            fields = {
                name: _from_text(name, _single(name, request), types[name])
                for name in request.query
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
        if key is not None:
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


def _types(message: type[Message]) -> dict[str, Any]:
    """The types of its fields, by their wire names."""
    hints = get_type_hints(message, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(message)}


def _service(request: web.Request) -> str:
    """The service that the address names. Raises Refused for none, or one that there is not."""
    name = request.match_info.get("service") or request.query.get("service", "")
    if name not in SERVICES:
        raise Refused(
            "unknown_service",
            f"there is no service {name!r}; there are: {', '.join(SERVICES)}",
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


def _single(name: str, request: web.Request) -> str:
    """A field of the query. Raises Refused for one that is given twice: which is meant?"""
    several = request.query.getall(name)
    if len(several) > 1:
        raise Refused("invalid_parameter", f"{name} is given {len(several)} times", field=name)
    return several[0]


def _from_text(name: str, text: str, wanted: Any) -> Any:
    """A part of the path or of the query as its field's type; a body is taken more strictly."""
    try:
        value = msgspec.convert(text, of_address(wanted), strict=False)
        # Read so, a number would be an instant too.
        return msgspec.convert(text, of_address(wanted)) if isinstance(value, datetime) else value
    except msgspec.ValidationError as error:
        raise Refused("invalid_parameter", f"{name}: {error}", field=name) from error
