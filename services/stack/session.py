"""One session of the one-machine stack: start, do something with it, stop on a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.stack.folder import StackFolder, StackInfo
from services.stack.processes import SERVICES, Service
from services.stack.stack import Stack

Body = Callable[[StackInfo], Awaitable[bool]]
"""What is done with the running stack; whether all went as it must."""


async def until_stopped(
    folder: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    body: Body,
    table: Sequence[Service] = SERVICES,
) -> bool:
    """Starts the stack, carries out `body`, and stops the stack; on SIGINT or SIGTERM at once.

    Returns what `body` returned, and True for a signal: that is how `run` ends. Raises ChildError.
    """
    session = asyncio.create_task(_session(folder, environment, say, body, table))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, stopped.set)
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((session, stopping), return_when=asyncio.FIRST_COMPLETED)
        if session.done():
            return await session
        session.cancel()
        with suppress(asyncio.CancelledError):
            await session
        say("stopped")
        return True
    finally:
        stopping.cancel()
        for each in signals:
            loop.remove_signal_handler(each)


async def _session(
    folder: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    body: Body,
    table: Sequence[Service],
) -> bool:
    async with Stack(StackFolder(folder), say, environment, table) as stack:
        return await body(stack.info)


def keep_running(say: Callable[[str], None]) -> Body:
    """The body of `run`: tells how to use the stack, and waits for ever."""

    async def body(info: StackInfo) -> bool:
        say(
            "\n"
            f"Gateway  {info.gateway}\n"
            f"API key  {info.api_key}\n"
            f"NATS     {info.nats}\n"
            f"Logs     {info.logs}\n"
            "\n"
            "Try it in another terminal:\n"
            f"  curl -X POST {info.gateway}/api/players \\\n"
            f"    -H 'Authorization: Bearer {info.api_key}' \\\n"
            "    -H 'Content-Type: application/json' -d '{}'\n"
            "\n"
            f"{_clock_help(info)}"
            "Ctrl-C stops everything; the data stay."
        )
        await asyncio.Event().wait()
        return True

    return body


def _clock_help(info: StackInfo) -> str:
    if info.clock == "system":
        return ""
    return "Business time stands still: padawanforge clock advance 1d\n\n"
