"""The guide's own tests pass on real servers, and its client does what it says."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from shared.testing.harness import Harness, OpenHarness
from shared.testing.sweep import at_every_point
from shared.testing.worlds import Servers
from shared.workflow.call import NOT_FOUND, Call
from shared.workflow.errors import NonRetryableError, NotSent
from tests.markdown import execute

GUIDE = execute("docs/adding-a-workflow.md")
SWEEP = "test_a_crash_anywhere_changes_nothing"
TESTS = [
    name
    for name, test in GUIDE.items()
    if name.startswith("test_") and inspect.signature(test).parameters and name != SWEEP
]


@pytest.fixture
def on_servers(servers: Servers) -> OpenHarness:
    return partial(Harness.on_servers, servers=servers)


@pytest.mark.parametrize("name", TESTS)
async def test_the_guides_own_test_passes(name: str, on_servers: OpenHarness) -> None:
    await GUIDE[name](on_servers)


async def test_a_crash_at_each_eleventh_point_changes_nothing(
    on_servers: OpenHarness, record_property: Callable[[str, object], None]
) -> None:
    assert SWEEP in GUIDE
    points = await at_every_point(on_servers, GUIDE["winner_gets_the_trophy"], every=11)
    record_property("guide's sweep", f"{len(points)} points, each eleventh cut off and frozen")


async def test_rows_are_there_once_and_gone_when_undone(on_servers: OpenHarness) -> None:
    shown = GUIDE["trophies"], GUIDE["EngraverDouble"], GUIDE["PRIZES"], GUIDE["SPRING"]
    trophies, double, prizes, spring = shown
    async with on_servers(trophies(double()), sql=prizes) as harness:
        await harness.start(spring)
        assert await harness.rows("SELECT tournament, state FROM prizes") == [
            ("spring", "reserved")
        ]
        await harness.advance(days=37)
        assert await harness.rows("SELECT tournament, state FROM prizes") == []


class EngraversShop:
    """The engraver's end of the interface."""

    def __init__(self) -> None:
        self.orders: dict[str, str] = {}

    async def order(self, request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        if text == "rude":
            return web.Response(status=422, text="not here")
        return web.Response(text=self.orders.setdefault(request.headers["Idempotency-Key"], text))

    async def find(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["key"])
        return web.Response(status=404) if order is None else web.Response(text=order)

    async def cancel(self, request: web.Request) -> web.Response:
        self.orders = {k: v for k, v in self.orders.items() if v != request.match_info["order"]}
        return web.Response()


@pytest.fixture
async def shop() -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the shop."""
    shop, app = EngraversShop(), web.Application()
    app.router.add_post("/orders", shop.order)
    app.router.add_get("/orders/by-key/{key}", shop.find)
    app.router.add_delete("/orders/{order}", shop.cancel)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as session:
        yield session


def call(key: str) -> Call:
    return Call(key, 1, datetime(2026, 3, 2, tzinfo=UTC), timedelta(seconds=20), "spring")


async def test_the_client_gives_its_key_and_says_what_it_knows(shop: aiohttp.ClientSession) -> None:
    engraver = GUIDE["Engraver"](shop)
    assert await engraver.find(call("one"), "spring") is NOT_FOUND
    assert await engraver.order(call("one"), "spring") == "spring"
    assert await engraver.find(call("one"), "spring") == "spring"
    await engraver.cancel(call("two"), "spring")
    assert await engraver.find(call("one"), "spring") is NOT_FOUND
    with pytest.raises(NonRetryableError, match="not here"):
        await engraver.order(call("three"), "rude")


async def test_the_client_says_that_nothing_was_sent() -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_port()}") as session:
        with pytest.raises(NotSent):
            await GUIDE["Engraver"](session).order(call("one"), "spring")
