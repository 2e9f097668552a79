"""The world that a storm's workflows call: a server in the storm's own process, which nothing hits,
and which keeps its own books."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import aiohttp
import msgspec
from aiohttp import web

from shared.runtime.embedded.child import free_port
from shared.workflow.call import NOT_FOUND, Call, NotFound, Unknown
from shared.workflow.errors import NotSent

SLOW_SECONDS = 0.4
WHIMS = {"plain": 80, "slow": 8, "busy": 6, "deaf": 5, "lost": 1}
"""How often it does what it is asked; late; not at all, and says so; without an answer that is
heard; and not at all, without a word, so that nobody knows."""


class Deed(NamedTuple):
    """What somebody asked for once."""

    workflow_id: str
    name: str


class Outside:
    """Does each deed once a key, and undoes it once a key. What is asked a second time although it
    was done already is counted: with a look-up before it nobody needs to."""

    def __init__(self, seed: int):
        self.deeds: dict[str, Deed] = {}
        self.undone: dict[str, str] = {}
        """Of each undoing's key, the key of the deed."""
        self.asked_again: Counter[str] = Counter()
        self.nonsense: list[str] = []
        """Requests that make no sense."""
        self._seed = seed
        self._requests: Counter[str] = Counter()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        """Its address, while it serves."""
        app = web.Application()
        app.router.add_post("/do", self._whimsically(self._do))
        app.router.add_post("/look", self._look)
        app.router.add_post("/undo", self._whimsically(self._undo))
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        port = free_port()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()

    def _whimsically(
        self, act: Callable[[dict[str, str]], None]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            body: dict[str, str] = await request.json()
            key = body["key"]
            self._requests[key] += 1
            random = Random(f"{self._seed}/{key}/{self._requests[key]}")
            [whim] = random.choices(list(WHIMS), list(WHIMS.values()))
            if whim == "busy":
                return web.Response(status=503)
            if whim == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            if whim != "lost":
                act(body)
            if whim in {"lost", "deaf"} and request.transport is not None:
                request.transport.close()
            return web.Response()

        return handle

    def _do(self, body: dict[str, str]) -> None:
        if body["key"] in self.deeds:
            self.asked_again[body["key"]] += 1
        else:
            self.deeds[body["key"]] = Deed(body["workflow"], body["what"])

    def _undo(self, body: dict[str, str]) -> None:
        if body["deed"] not in self.deeds:
            self.nonsense.append(f"{body['key']} undoes {body['deed']}, which was never done")
        self.undone[body["key"]] = body["deed"]

    async def _look(self, request: web.Request) -> web.Response:
        body: dict[str, str] = await request.json()
        return web.Response(status=200 if body["key"] in self.deeds else 404)


class Abroad:
    """How a service reaches the world at this address. A deed's result is its key."""

    def __init__(self, url: str):
        self._url = url

    async def carry_out(self, call: Call, what: str) -> str:
        """Asks for a deed."""
        status = await self._ask(call, "do", workflow=call.workflow_id, what=what)
        if status == 503:
            raise NotSent("the world is busy")
        return call.idempotency_key

    async def look_up(self, call: Call, _: str) -> str | NotFound | Unknown:
        """What became of it."""
        found = await self._ask(call, "look") != 404
        return call.idempotency_key if found else NOT_FOUND

    async def undo(self, call: Call, deed: str | None) -> None:
        """Has the deed undone."""
        if await self._ask(call, "undo", deed=deed or "what nobody knows") == 503:
            raise NotSent("the world is busy")

    async def _ask(self, call: Call, way: str, **body: str) -> int:
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"{self._url}/{way}",
                data=msgspec.json.encode({"key": call.idempotency_key, **body}),
                headers={"Content-Type": "application/json"},
            ) as answer,
        ):
            return answer.status
