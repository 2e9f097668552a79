"""The services' processes, and those that an earlier stack left behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from shared.runtime.embedded.child import ChildProcess

MARK = "PADAWANFORGE_STACK"
"""Variable in each child's environment that tells which folder's stack started it."""


POLL_SECONDS = 0.02
PATIENCE_SECONDS = 10.0


class Service(NamedTuple):
    """One entry of the table of services."""

    name: str
    module: str
    has_database: bool
    books: str | None = None
    """Pattern of tables that no backup rolls back: the books of a party outside, or who was erased
    since."""


SERVICES = (
    Service("player", "services.player", has_database=True),
    Service("billing", "services.billing", has_database=True, books="sandbox_*"),
    Service("maintenance", "services.maintenance", has_database=True, books="person_erasures"),
    # Last, so that it takes requests only once there is somebody to answer them.
    Service("gateway", "services.gateway", has_database=False),
)


class ServiceProcess(ChildProcess):
    """`python -m services.<name>`, ready once its /readyz says so."""

    def __init__(self, service: Service, log: Path, port: int, environment: Mapping[str, str]):
        super().__init__(service.name, log)
        self.address = f"http://127.0.0.1:{port}"
        self._module = service.module
        self._environment = environment

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", self._module]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    async def is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client,
                client.get(f"{self.address}/readyz") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


async def end_leftovers(folder: Path) -> int:
    """Ends what a stack of this folder left behind when it was killed; returns how many.

    They would hold the ports and the data.
    """
    leftovers = [each for each in psutil.process_iter() if _is_marked(each, folder)]
    for each in leftovers:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _until_ended(leftovers, folder)
    except TimeoutError:
        for each in leftovers:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    return len(leftovers)


async def _until_ended(processes: Sequence[psutil.Process], folder: Path) -> None:
    # A zombie has no environment, so it counts as ended; not every container reaps it.
    while True:
        if not any(_is_marked(each, folder) for each in processes):
            return
        await asyncio.sleep(POLL_SECONDS)


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.environ().get(MARK) == str(folder))
    except psutil.Error:  # ended meanwhile, or another user's
        return False
