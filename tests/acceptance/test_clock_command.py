"""`padawanforge clock` on the one-machine stack: the player's days pass when they are told to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import aiohttp
import msgspec
import pytest

from services.stack.folder import StackFolder, StackInfo
from services.stack.processes import SERVICES
from services.stack.stack import Stack
from shared.messages.player import Player, Progress
from shared.messages.workflows import WorkflowStatus
from shared.runtime.embedded.child import ChildError
from shared.testing.servers import temporary_folder
from tests.acceptance.game import eventually


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int | None
    printed: str


async def clock(folder: Path, *arguments: str) -> Ended:
    """Runs `padawanforge clock`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "clock", *arguments, "--data", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    output, _ = await process.communicate()
    return Ended(process.returncode, output.decode())


def stack(folder: Path, mode: str) -> Stack:
    return Stack(StackFolder(folder), lambda _: None, {**os.environ, "CLOCK": mode})


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    async with temporary_folder() as place:
        folder = place / ".data"
        folder.mkdir(mode=0o711)
        yield folder


class Caller:
    """Of the stack's gateway."""

    def __init__(self, info: StackInfo, http: aiohttp.ClientSession):
        self._info = info
        self._http = http

    async def create_player(self) -> UUID:
        async with self._http.post("/api/players", json={}) as answer:
            return msgspec.json.decode(await answer.read(), type=Player).id

    async def run(self, player_id: UUID, workflow_id: str) -> WorkflowStatus:
        """Starts the player's workflow and waits for its end."""
        body = {"id": workflow_id, "playerId": str(player_id)}
        async with self._http.post("/api/workflows/player", json=body) as answer:
            assert answer.status == 202
        return await eventually(
            lambda: self._status(workflow_id), lambda status: status.status.ended
        )

    async def progress(self, player_id: UUID) -> Progress:
        async with self._http.get(f"/api/players/{player_id}/progress") as answer:
            return msgspec.json.decode(await answer.read(), type=Progress)

    async def _status(self, workflow_id: str) -> WorkflowStatus:
        async with self._http.get(f"/api/workflows/{workflow_id}") as answer:
            return msgspec.json.decode(await answer.read(), type=WorkflowStatus)


def session(info: StackInfo) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {info.api_key}"}
    return aiohttp.ClientSession(info.gateway, headers=headers)


@pytest.mark.rule("engine-29")
async def test_a_virtual_day_gives_the_next_reward_and_is_kept_over_a_restart(
    folder: Path,
) -> None:
    async with stack(folder, "virtual") as running, session(running.info) as http:
        caller = Caller(running.info, http)
        player_id = await caller.create_player()
        first = await caller.run(player_id, "first-day")
        again = await caller.run(player_id, "first-day-again")
        advanced = await clock(folder, "advance", "1d")
        second = await caller.run(player_id, "second-day")
        progress = await caller.progress(player_id)
    async with stack(folder, "virtual") as running, session(running.info) as http:
        third = await Caller(running.info, http).run(player_id, "second-day-again")
        shown = await clock(folder, "show")
        refused = await clock(folder, "set", first.created_at.isoformat())

    day = timedelta(days=1)
    instants = [each.created_at for each in (first, again, second, third)]
    assert instants == [first.created_at, first.created_at, *[first.created_at + day] * 2]
    assert advanced.code == 0
    assert "1 virtual days in" in advanced.printed
    assert progress.streak_current == 2
    assert shown.code == 0
    assert shown.printed.count(_told(first.created_at + day)) == len(SERVICES)
    assert refused.code == 1
    assert "never goes back" in refused.printed


async def test_data_of_the_virtual_clock_are_not_run_on_the_system_clock(folder: Path) -> None:
    async with stack(folder, "virtual"):
        pass

    with pytest.raises(ChildError, match=r"player ended .* set CLOCK to virtual, or begin with"):
        async with stack(folder, "system"):
            pytest.fail("it must not start")


async def test_bad_input_is_refused_with_the_remedy_and_nothing_is_done(folder: Path) -> None:
    for arguments, remedy in (
        (("advance", "soon"), "write it like 30d, 12h, 90m or 1d12h"),
        (("set", "2026-03-01"), "write it with its offset"),
        (("advance", "1d"), "start one with make run CLOCK=virtual"),
    ):
        ended = await clock(folder, *arguments)
        assert (ended.code, remedy in ended.printed) == (1, True), ended


def _told(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
