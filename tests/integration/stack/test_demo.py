"""The demo fails when something is not as it must be, and says what."""

from __future__ import annotations

import io

from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from services.demo import run_demo
from services.stack.folder import StackInfo
from shared.messages.base import encode
from shared.messages.problems import Refused


def info_of(gateway: str) -> StackInfo:
    return StackInfo(
        gateway=gateway,
        api_key="k",
        nats="",
        nats_operator="",
        databases={},
        processes={},
        logs="logs",
    )


async def test_an_unexpected_answer_is_shown_with_its_problem() -> None:
    async def refuse(_: web.Request) -> web.Response:
        problem = Refused("players_are_closed", "no player can be created today").problem()
        return web.Response(status=422, body=encode(problem))

    app = web.Application()
    app.add_routes([web.post("/api/players", refuse)])
    shown = io.StringIO()
    async with TestServer(app) as server:
        succeeded = await run_demo(Console(file=shown, width=200))(
            info_of(str(server.make_url("")))
        )

    assert not succeeded
    assert "POST /api/players answered 422 instead of 201: no player can be" in shown.getvalue()


async def test_a_gateway_out_of_reach_is_told() -> None:
    shown = io.StringIO()

    assert not await run_demo(Console(file=shown, width=200))(info_of("http://127.0.0.1:9"))

    assert "Cannot connect to host 127.0.0.1:9" in shown.getvalue()
