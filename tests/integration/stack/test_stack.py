"""The one-machine stack stays up, is found again, and says in a sentence what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import msgspec
import psutil
import pytest

from services.stack.folder import StackFolder, StackInfo
from services.stack.processes import MARK, Service, end_leftovers
from services.stack.session import Body, until_stopped
from services.stack.stack import Stack
from shared.runtime.embedded.child import ChildError, launch
from shared.testing.servers import temporary_folder

MODULE = "tests.integration.stack.stand_in"
TABLE = (Service("player", MODULE, True), Service("gateway", MODULE, False))


class Sentences:
    """What a stack said, and a way to wait for it."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, sentence: str) -> None:
        self.all.append(sentence)
        self._news.set()

    async def wait_for(self, part: str) -> str:
        """The first sentence that has `part`."""
        async with asyncio.timeout(30):
            while True:
                for sentence in self.all:
                    if part in sentence:
                        return sentence
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    async with temporary_folder() as place:
        folder = place / ".data"
        folder.mkdir(mode=0o711)
        yield folder


@pytest.fixture
def said() -> Sentences:
    return Sentences()


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "STAND_IN_BREAKS": str(folder / "breaks")}


@pytest.fixture
def make_stack(folder: Path, said: Sentences, environment: dict[str, str]) -> Callable[[], Stack]:
    return lambda: Stack(StackFolder(folder), said, environment, TABLE, first_backoff_seconds=0.01)


def published(folder: Path) -> StackInfo:
    return msgspec.json.decode((folder / "stack.json").read_bytes(), type=StackInfo)


def modes_of_files_with(text: str, folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in (*folder.glob("*"), *folder.glob("logs/*"), *folder.glob("nats/*"))
        if path.is_file() and text in path.read_text()
    }


async def test_each_service_gets_what_it_needs_and_scripts_find_it(
    make_stack: Callable[[], Stack], folder: Path
) -> None:
    async with make_stack() as stack:
        info = published(folder)
        async with (
            aiohttp.ClientSession(info.gateway) as client,
            client.get("/environment") as answer,
        ):
            gateway = await answer.json()
        processes = {name: psutil.Process(pid) for name, pid in info.processes.items()}
        running = [name for name, each in processes.items() if each.is_running()]
        mode = stat.S_IMODE((folder / "stack.json").stat().st_mode)

        assert info == stack.info
    own, publishers = urlsplit(str(gateway.pop("NATS_URL"))), urlsplit(info.nats)
    assert (own.username, own.port) == ("gateway", publishers.port)
    assert own.password != publishers.password
    assert gateway == {"DATABASE_URL": None, "API_KEY": info.api_key}
    assert running == ["stack", "postgres", "nats", "player", "gateway"]
    assert mode == 0o600
    assert not (folder / "stack.json").exists()
    assert [name for name, each in processes.items() if each.is_running()] == ["stack"]


async def test_a_nats_password_is_in_private_files_and_in_no_log(
    make_stack: Callable[[], Stack], folder: Path
) -> None:
    async with make_stack() as stack:
        password = urlsplit(stack.info.nats).password or ""
        found = modes_of_files_with(password, folder)

    assert found == {"kept.json": 0o600, "stack.json": 0o600, "nats/nats.conf": 0o600}


async def test_the_next_run_finds_data_key_and_addresses_again(
    make_stack: Callable[[], Stack],
) -> None:
    async with make_stack() as stack:
        first = stack.info
        connection = await asyncpg.connect(first.databases["player"])
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        await connection.close()

    async with make_stack() as stack:
        second = stack.info
        connection = await asyncpg.connect(second.databases["player"])
        value = await connection.fetchval("SELECT value FROM player.kept")
        await connection.close()

    assert value == 7
    assert (first.gateway, first.nats, first.api_key, first.databases) == (
        second.gateway,
        second.nats,
        second.api_key,
        second.databases,
    )


async def test_each_killed_process_is_named_and_started_again(
    make_stack: Callable[[], Stack], said: Sentences, folder: Path
) -> None:
    async with make_stack() as stack:
        before = stack.info.processes
        for name in ("player", "gateway", "nats", "postgres"):
            os.kill(before[name], signal.SIGKILL)
            await said.wait_for(f"{name} ended (killed by SIGKILL); it is started again")
            await said.wait_for(f"{name} is ready again")

        after = stack.info.processes
        assert published(folder).processes == after
    assert [name for name, pid in after.items() if pid == before[name]] == ["stack"]


async def test_repeated_deaths_are_told_with_the_log_and_the_remedy(
    make_stack: Callable[[], Stack], said: Sentences, folder: Path
) -> None:
    async with make_stack() as stack:
        (folder / "breaks").touch()
        os.kill(stack.info.processes["player"], signal.SIGTERM)
        sentence = await said.wait_for("player has ended 5 times")
        (folder / "breaks").unlink()
        await said.wait_for("player is ready again")

    assert "player.log says why" in sentence
    assert "LEASE_SECONDS is not set" in sentence
    assert "run it again" in sentence


async def test_a_service_that_cannot_start_ends_the_run_and_leaves_nothing_behind(
    make_stack: Callable[[], Stack], folder: Path
) -> None:
    (folder / "breaks").touch()

    with pytest.raises(ChildError, match="player ended while it started: LEASE_SECONDS is not"):
        async with make_stack():
            pytest.fail("it must not start")

    assert await end_leftovers(folder) == 0


async def test_a_second_run_in_the_same_folder_is_refused(
    make_stack: Callable[[], Stack], folder: Path
) -> None:
    taken = StackFolder(folder)
    taken.open()

    with pytest.raises(ChildError, match=r"a stack is running from .* already: end it"):
        async with make_stack():
            pytest.fail("it must not start")

    taken.close()


async def test_a_taken_port_is_refused_by_its_variable(
    make_stack: Callable[[], Stack], environment: dict[str, str]
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        environment["NATS_PORT"] = str(holder.getsockname()[1])

        with pytest.raises(ChildError, match=r"port \d+ is taken: set NATS_PORT to another"):
            async with make_stack():
                pytest.fail("it must not start")


async def test_what_a_killed_stack_left_behind_is_ended(folder: Path) -> None:
    left = await launch(["sleep", "600"], {**os.environ, MARK: str(folder)}, folder / "log")
    other = await launch(["sleep", "600"], {**os.environ, MARK: "elsewhere"}, folder / "log")

    assert await end_leftovers(folder) == 1

    assert await left.wait() == -signal.SIGTERM
    assert other.returncode is None
    other.kill()
    await other.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_services_before_what_they_stand_on(
    folder: Path, said: Sentences, environment: dict[str, str], number: signal.Signals
) -> None:
    async def body(info: StackInfo) -> bool:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        return False

    assert await until_stopped(folder, environment, said, body, TABLE)

    assert said.all[-5:] == [
        "stopping gateway",
        "stopping player",
        "stopping nats",
        "stopping postgres",
        "stopped",
    ]
    assert await end_leftovers(folder) == 0


async def test_a_signal_while_it_starts_leaves_nothing_behind(
    folder: Path, said: Sentences, environment: dict[str, str]
) -> None:
    environment["STAND_IN_NEVER_READY"] = "1"
    body: Body = _unreachable
    running = asyncio.create_task(until_stopped(folder, environment, said, body, TABLE))
    await said.wait_for("starting player")

    os.kill(os.getpid(), signal.SIGINT)

    assert await running
    assert await end_leftovers(folder) == 0


async def _unreachable(_: StackInfo) -> bool:
    pytest.fail("the stack never was ready")
