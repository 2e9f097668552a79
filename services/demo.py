"""`padawanforge demo`: one player's workflow, shown from outside through the HTTP API alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from typing import Any, cast
from uuid import uuid4

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table

from services.stack.folder import StackInfo
from services.stack.session import Body
from shared.messages.base import Message, encode
from shared.messages.player import CreatePlayer, MessageSent, Player, Progress, SessionReported
from shared.messages.workflows import StartPlayer, Status, StepStatus, WorkflowStatus

SCORES = (140, 90, 170)
MESSAGES = ("Ready when you are.", "May the source be with you.")
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 30.0


class DemoError(Exception):
    """Something is not as the demo must show it; the message says what."""


class Api:
    """The calls of the HTTP API that the demo makes."""

    def __init__(self, client: aiohttp.ClientSession):
        self._client = client

    async def post(self, path: str, body: Message, *, expect: int) -> bytes:
        """The answer's body. Raises DemoError for any other status than `expect`."""
        headers = {"Content-Type": "application/json"}
        async with self._client.post(path, data=encode(body), headers=headers) as answer:
            return await _checked(answer, expect)

    async def get(self, path: str) -> bytes:
        """The answer's body. Raises DemoError for anything but 200."""
        async with self._client.get(path) as answer:
            return await _checked(answer, 200)

    async def progress(self, player: Player) -> Progress:
        """The player's balances."""
        body = await self.get(f"/api/players/{player.id}/progress")
        return msgspec.json.decode(body, type=Progress)

    async def start(self, player: Player, workflow_id: str, *, expect: int = 202) -> None:
        """Starts the player's workflow."""
        trigger = StartPlayer(id=workflow_id, player_id=player.id)
        await self.post("/api/workflows/player", trigger, expect=expect)

    async def follow(self, workflow_id: str) -> AsyncGenerator[WorkflowStatus]:
        """The instance's status whenever it was looked at, the final one last."""
        while True:
            body = await self.get(f"/api/workflows/{workflow_id}")
            status = msgspec.json.decode(body, type=WorkflowStatus)
            yield status
            if status.status.ended:
                return
            await asyncio.sleep(POLL_SECONDS)


def run_demo(console: Console) -> Body:
    """The body of `demo`; tells whether all was as it must be."""

    async def body(info: StackInfo) -> bool:
        headers = {"Authorization": f"Bearer {info.api_key}"}
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        try:
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                aiohttp.ClientSession(info.gateway, headers=headers, timeout=timeout) as client,
            ):
                await _show(Api(client), console)
        except (DemoError, aiohttp.ClientError, msgspec.MsgspecError) as error:
            console.print(f"✗ {error}", style="red", markup=False)
            return False
        except TimeoutError:
            console.print(
                f"✗ not done within {PATIENCE_SECONDS:g} s; the logs in {info.logs} say why",
                style="red",
                markup=False,
            )
            return False
        console.print("✓ the demo is done: all was as it must be", style="green")
        return True

    return body


async def _show(api: Api, console: Console) -> None:
    console.rule("A player, some sessions, some messages")
    body = await api.post("/api/players", CreatePlayer(timezone="Europe/Berlin"), expect=201)
    player = msgspec.json.decode(body, type=Player)
    console.print(f"created player {player.id}")
    await _play(api, player, console)
    before = await api.progress(player)

    console.rule("The player's workflow")
    first = f"demo-{secrets.token_hex(4)}"
    await api.start(player, first)
    output = await _follow(api, first, console)
    after = await api.progress(player)
    console.print(_balances(before, after))
    if after.xp <= before.xp or after.level <= before.level or after.coins <= before.coins:
        raise DemoError("the workflow did not raise xp, level and coins")
    if "daily_rewards" not in output.completed_steps:
        raise DemoError("the workflow did not grant the daily reward")

    console.rule("Once more: nothing is granted twice")
    await api.start(player, first, expect=409)
    console.print(f"the same id, {first}: refused with 409")
    second = f"demo-{secrets.token_hex(4)}"
    await api.start(player, second)
    await _follow(api, second, console)
    again = await api.progress(player)
    console.print(_balances(after, again))
    if again != after:
        raise DemoError("the second run changed the balances")


async def _play(api: Api, player: Player, console: Console) -> None:
    for score in SCORES:
        session = SessionReported(
            session_id=uuid4(),
            player_id=player.id,
            score=score,
            answered=15,
            correct=12,
            best_streak=5,
        )
        await api.post("/api/sessions", session, expect=201)
        console.print(f"recorded a session with score {score}")
    for text in MESSAGES:
        message = MessageSent(message_id=uuid4(), player_id=player.id, text=text)
        await api.post(f"/api/players/{player.id}/messages", message, expect=201)
        console.print(f"recorded a message: {text}")


async def _follow(api: Api, workflow_id: str, console: Console) -> WorkflowStatus:
    """Prints each step as it finishes; returns the final status."""
    console.print(f"started workflow {workflow_id}")
    shown: set[str] = set()
    async for status in api.follow(workflow_id):
        for step in status.steps:
            if step.finished_at is not None and step.name not in shown:
                shown.add(step.name)
                console.print(_line(step), markup=False)
        if status.status.ended:
            if status.status is not Status.COMPLETE:
                raise DemoError(f"{workflow_id} ended {status.status}: {status.error}")
            return status
    raise DemoError(f"{workflow_id} never ended")


def _line(step: StepStatus) -> str:
    return f"  {'✓' if step.status == 'complete' else '·'} {step.name}: {step.status}"


def _balances(before: Progress, after: Progress) -> Table:
    table = Table("", "before", "after")
    for name in ("xp", "level", "coins"):
        table.add_row(name, str(getattr(before, name)), str(getattr(after, name)))
    return table


async def _checked(answer: aiohttp.ClientResponse, expect: int) -> bytes:
    body = await answer.read()
    if answer.status != expect:
        raise DemoError(
            f"{answer.method} {answer.url.path} answered {answer.status} instead of {expect}: "
            f"{_detail(body)}"
        )
    return body


def _detail(body: bytes) -> str:
    """What a problem document says, or the beginning of whatever came."""
    try:
        document = cast("dict[str, Any]", msgspec.json.decode(body, type=dict))
    except msgspec.MsgspecError:
        return body[:200].decode(errors="replace")
    return str(document.get("detail", document))
