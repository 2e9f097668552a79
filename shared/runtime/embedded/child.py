"""A child process that is started, watched until it is ready, and ended."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

POLL_SECONDS = 0.02
TAIL_LINES = 5
TAIL_BYTES = 1000


class ChildError(Exception):
    """A child process cannot be started; the message says in a sentence why and what to do."""


class ChildProcess(ABC):
    """One process of the one-machine stack, with its log in a file.

    It runs in a session of its own, so that Ctrl-C reaches the parent alone, which then ends its
    children in the right order.
    """

    stop_signal = signal.SIGTERM

    def __init__(
        self, name: str, log: Path, *, ready_seconds: float = 60.0, stop_seconds: float = 30.0
    ):
        self.name = name
        self.log = log
        self._ready_seconds = ready_seconds
        self._stop_seconds = stop_seconds
        self._process: Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """All of the process's environment variables."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Whether it does its work, asked while it starts."""

    def identity(self) -> tuple[int, int] | None:
        """Uid and gid to run as; None for the parent's own."""
        return None

    async def prepare(self) -> None:  # noqa: B027 - most children need nothing
        """What must be done before the process starts."""

    async def start(self) -> None:
        """Starts the process and returns once it is ready. Raises ChildError."""
        if self.running:
            return
        await self.prepare()
        await self.spawn()
        await self._until_ready()

    async def spawn(self) -> None:
        """Starts the process without waiting for it."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = await launch(
            self.command(), self.environment(), self.log, identity=self.identity()
        )

    async def wait(self) -> int:
        """Waits until the process ends; its return code, negative for a signal."""
        return await self._process.wait() if self._process else 0

    async def stop(self) -> None:
        """Asks it to end, waits, and kills it when that takes too long."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(self.stop_signal)
        try:
            async with asyncio.timeout(self._stop_seconds):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Ends it at once (kill -9), as a crash would."""
        if self._process is not None and self.running:
            self._process.kill()
            await self._process.wait()

    def freeze(self) -> None:
        """Stops it in the middle of whatever it does (SIGSTOP), as a long pause would."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    async def restart(self) -> None:
        """Ends it and starts it again, on the same port and data."""
        await self.stop()
        await self.start()

    def last_words(self) -> str:
        """The end of what it printed since it was started, as one line."""
        return tail(self.log, self._log_start)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(self._ready_seconds):
                while not await self.is_ready():
                    if not self.running:
                        raise ChildError(f"{self.name} ended while it started: {self.last_words()}")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            await self.kill()
            raise ChildError(
                f"{self.name} was not ready within {self._ready_seconds:g} s; see {self.log}: "
                f"{self.last_words()}"
            ) from None
        except BaseException:
            # Nobody will know of a child whose start failed, so it must not stay behind.
            await self.kill()
            raise


async def launch(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    identity: tuple[int, int] | None = None,
) -> Process:
    """Starts a process in a session of its own; what it prints is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    uid, gid = identity or (None, None)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=dict(environment),
            cwd="/" if identity else None,  # another user may not reach the working folder
            user=uid,
            group=gid,
            extra_groups=[] if identity else None,
            start_new_session=True,
        )


def tail(log: Path, start: int = 0) -> str:
    """The last lines of a log from byte `start` on, as one line."""
    end = log.stat().st_size if log.exists() else 0
    if end <= start:
        return "it printed nothing"
    with log.open("rb") as file:
        file.seek(max(start, end - TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()[-TAIL_LINES:]
    return " | ".join(line.strip() for line in lines)


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:`port` can be listened on."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port to listen on, below those that systems hand to outgoing connections, so that nobody
    takes it while a server restarts."""
    for _ in range(1000):
        port = 15_000 + secrets.randbelow(15_000)
        if is_free(port):
            return port
    raise ChildError("no free port between 15000 and 30000 was found: end what listens there")
