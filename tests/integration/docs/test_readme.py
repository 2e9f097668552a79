"""What the README shows works as it is printed there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from nats.aio.client import Client

from services.player.handlers.commands import create_player
from services.player.store import ReadingStore
from services.stack.folder import StackFolder
from services.stack.stack import Stack
from shared.jetstream.connection import close, connect
from shared.messages import subjects
from shared.messages.billing import Invoices
from shared.messages.player import CreatePlayer, Progress
from shared.messages.workflows import Accepted, Status, WorkflowStatus
from shared.runtime.handling import Work
from shared.testing.harness import Harness
from shared.testing.servers import temporary_folder
from shared.testing.worlds import Servers
from shared.workflow.registry import register
from tests.cluster import denials
from tests.markdown import blocks, execute

CURL = f"""\
#!{sys.executable}
import argparse, sys, urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("-s", action="store_true")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-d")
parser.add_argument("url")
given = parser.parse_args()
headers = dict(line.split(": ", 1) for line in given.H)
request = urllib.request.Request(given.url, given.d and given.d.encode(), headers)
with urllib.request.urlopen(request) as answer:
    print(answer.read().decode())
"""
"""As much of curl as the README uses: not every machine that runs the tests has it."""


async def test_the_workflow_of_ones_own_gives_two_presents(servers: Servers) -> None:
    shown = execute("README.md")
    player_id = uuid4()
    async with Harness.on_servers(
        [register(shown["StartWelcome"], shown["WelcomeWorkflow"]())],
        sql=Path("services/player/sql"),
        servers=servers,
    ) as harness:
        async with harness.connection() as connection:
            work = Work(connection, harness.now, "reader", "one")
            await create_player(work, CreatePlayer(id=player_id))
        welcome = await harness.start(shown["StartWelcome"](player_id=player_id))
        await harness.advance(days=3)
        assert welcome.output == 150
        async with harness.connection() as connection:
            progress = await ReadingStore(connection, player_id).progress()
    assert progress is not None
    assert progress.coins == 150


async def test_the_test_of_ones_own_passes() -> None:
    await execute("README.md")["test_a_crash_anywhere_changes_nothing"]()


def test_the_workflow_of_ones_own_has_thirty_lines_at_most() -> None:
    block, _ = blocks("README.md", "python")
    assert len([line for line in block.text.splitlines() if line]) <= 30


class Reader:
    """Somebody who has typed `make run` in a folder, and types what the README shows."""

    def __init__(self, folder: Path, client: Client):
        self._folder = folder
        self._client = client

    async def type(self, script: str) -> list[str]:
        """The lines that come out."""
        shell = await asyncio.create_subprocess_exec(
            "sh",
            "-e",
            cwd=self._folder,
            env={**os.environ, "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await shell.communicate(script.encode())
        assert shell.returncode == 0, output.decode()
        return output.decode().splitlines()

    async def type_and_wait(self, script: str, kind: str, workflow_id: str) -> list[str]:
        """The same, and returns when the workflow has ended."""
        key = subjects.status_subject(subjects.status_key(kind, workflow_id))
        statuses = await self._client.subscribe(key)
        lines = await self.type(script)
        ended = False
        while not ended:
            message = await statuses.next_msg(timeout=30)
            ended = msgspec.json.decode(message.data, type=WorkflowStatus).status.ended
        return lines


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with temporary_folder() as folder:
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "bin").mkdir()
        curl = folder / "bin" / "curl"
        curl.write_text(CURL)
        curl.chmod(0o700)
        async with Stack(StackFolder(folder / ".data"), lambda _: None, os.environ) as stack:
            client = await connect(stack.info.nats_operator, "reader")
            yield Reader(folder, client)
            await close(client)
        assert denials(folder / ".data" / "logs") == []


async def test_the_first_calls_do_what_is_said(reader: Reader) -> None:
    functions, start, look, publish, look_again, subscribe, invoices = (
        block.text for block in blocks("README.md", "sh")
    )
    _, accepted = await reader.type_and_wait(functions + start, "player", "first-run")
    first, progress = await reader.type(functions + look)
    [stored] = await reader.type_and_wait(functions + publish, "player", "second-run")
    [second] = await reader.type(functions + look_again)
    await reader.type_and_wait(functions + subscribe, "renewal", "*")
    [billed] = await reader.type(functions + invoices)

    assert msgspec.json.decode(accepted, type=Accepted).workflow_id == "first-run"
    assert msgspec.json.decode(first, type=WorkflowStatus).status is Status.COMPLETE
    now = msgspec.json.decode(progress, type=Progress)
    assert (now.xp, now.level) == (2710, 6)
    assert "WORKFLOWS_PLAYER" in stored
    assert msgspec.json.decode(second, type=WorkflowStatus).status is Status.COMPLETE
    [invoice] = msgspec.json.decode(billed, type=Invoices).invoices
    assert (invoice.state, invoice.amount) == ("paid", "EUR 9.99")
    assert [attempt.state for attempt in invoice.attempts] == ["succeeded"]
