"""The command `padawanforge recover`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from services.stack.folder import StackInfo
from shared.messages.base import encode

MakeDatabase = Callable[[str], Awaitable[str]]


async def recover(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Its exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services",
        "recover",
        *arguments,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


@pytest.fixture
async def environment(nats_url: str, make_database: MakeDatabase) -> dict[str, str]:
    """How a service finds its servers."""
    return {"NATS_URL": nats_url, "DATABASE_URL": await make_database("player")}


@pytest.mark.rule("engine-25")
async def test_a_named_service_is_found_by_its_environment(environment: dict[str, str]) -> None:
    code, printed = await recover("player", environment=environment)
    assert code == 0, printed
    assert "streams, consumers and the status bucket are there" in printed
    assert "player is recovered: 0 instances, 0 statuses put, 0 taken away, 0 messages" in printed


@pytest.mark.rule("engine-25")
async def test_without_a_name_all_services_of_the_running_stack_are_recovered(
    environment: dict[str, str], tmp_path: Path
) -> None:
    info = StackInfo(
        gateway="",
        api_key="",
        nats="",
        nats_operator=environment["NATS_URL"],
        databases={"player": environment["DATABASE_URL"]},
        processes={},
        logs="",
    )
    (tmp_path / "stack.json").write_bytes(msgspec.json.format(encode(info)))
    code, printed = await recover("--data", str(tmp_path))
    assert code == 0, printed
    assert "player is recovered" in printed


async def test_what_is_missing_is_told_in_a_sentence(tmp_path: Path) -> None:
    code, printed = await recover("--data", str(tmp_path))
    assert (code, "no stack runs from" in printed) == (1, True)
    code, printed = await recover("nobody")
    names = "there is no service nobody: name one of billing, maintenance, player"
    assert (code, names in printed) == (1, True)
    code, printed = await recover("player", environment={"NATS_URL": "", "DATABASE_URL": ""})
    assert (code, "NATS_URL is not set" in printed) == (1, True)
    assert "Traceback" not in printed
