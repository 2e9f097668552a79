"""Calls addresses as the description has them, and remembers which problems they answered."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from services.gateway.app import OPERATIONS
from services.gateway.description import openapi
from services.gateway.routes.operations import Operation
from tests.integration.gateway.houses import Http

Pair = tuple[str, str, str]

API = [each for each in OPERATIONS if each.path.startswith("/api/")]
DOCUMENT = openapi.document(API, "1")
DOCUMENTED: set[Pair] = {(each.method, each.path, code) for each in API for code in each.codes}
ABSENT = {
    "notificationId": "7",
    "noticeId": "7",
    "service": "player",
    "name": "absent",
    "type": "absent",
    "planId": "absent",
    "provider": "absent",
    "kind": "player",
    "namespace": "plans",
    "metric": "revenue",
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-03-02T00:00:00Z",
}


class Reached:
    """Which problems came from which addresses."""

    def __init__(self) -> None:
        self.pairs: set[Pair] = set()

    async def call(
        self, http: Http, one: Operation, *, path: str | None = None, **request: Any
    ) -> str | None:
        """The code of the answer's problem, if it is one."""
        async with http.request(one.method, path or address(one), **request) as answer:
            if answer.status < 400:
                return None
            code: str = (await answer.json())["code"]
        self.pairs.add((one.method, one.path, code))
        return code


def address(one: Operation, **given: str) -> str:
    """Its address with ids that there are not; `given` replaces parts and adds to the query."""

    def part(found: re.Match[str]) -> str:
        name = found[1]
        if name in given:
            return quote(given.pop(name), safe="")
        if name == "id" and "dead-letters" in one.path:
            return "7"
        return ABSENT.get(name, str(uuid4()) if name.endswith("Id") else "absent")

    path = re.sub(r"{(\w+)}", part, one.path)
    query = {
        each.name: "absent" if each.name == "id" else ABSENT[each.name]
        for each in one.parameters
        if each.place == "query" and each.required
    }
    query.update(given)
    return path + ("?" if query else "") + "&".join(f"{k}={quote(v)}" for k, v in query.items())


def body(one: Operation) -> Any:
    """The documented example of its body."""
    described = DOCUMENT["paths"][one.path][one.method.lower()].get("requestBody")
    if described is None:
        return None
    return described["content"]["application/json"].get("example", {})


BY_ADDRESS = {(each.method, each.path): each for each in API}


class Caller:
    """Calls an address of the description by its parts."""

    def __init__(self, reached: Reached, http: Http):
        self._reached = reached
        self.http = http

    async def __call__(self, method: str, path: str, body: Any = None, **parts: Any) -> str | None:
        one = BY_ADDRESS[method, path]
        where = address(one, **{name: str(part) for name, part in parts.items()})
        return await self._reached.call(self.http, one, path=where, json=body)
