"""`padawanforge backup` and `restore` on the one-machine stack: back to what was, and on from
there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest

from services.billing.payments.books import Booked
from services.billing.payments.sandbox import SandboxProvider
from services.stack.folder import StackFolder, StackInfo
from services.stack.stack import Stack
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock
from shared.testing.servers import temporary_folder
from tests.acceptance.game import eventually

PRICE_MINOR = 999
SWEEP = "0 3 1,15 * *"
"""When customers with something due are looked for: few instants to stop at."""
ADVANCE = "50d"
"""Over the end of the first month and the sweep after it, and not over the end of the second."""


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int | None
    printed: str


async def command(*arguments: str) -> Ended:
    """Runs `padawanforge`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    output, _ = await process.communicate()
    return Ended(process.returncode, output.decode())


class Machine(NamedTuple):
    """A folder in which a stack runs or does not."""

    data: Path

    def stack(self, mode: str = "system") -> Stack:
        environment = {**os.environ, "CLOCK": mode, "BILLING_SWEEP_CRON": SWEEP}
        return Stack(StackFolder(self.data), lambda _: None, environment)

    async def backup(self, name: str) -> Ended:
        return await command("backup", "--to", str(self._place(name)), "--data", str(self.data))

    async def restore(self, name: str) -> Ended:
        return await command("restore", "--from", str(self._place(name)), "--data", str(self.data))

    def _place(self, name: str) -> Path:
        return self.data.parent / name


class Caller:
    """Of the stack's gateway."""

    def __init__(self, http: aiohttp.ClientSession):
        self._http = http

    async def post(self, path: str, body: object, status: int) -> Any:
        """The answer, which must have this status."""
        async with self._http.post(path, json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def get(self, path: str, status: int = 200) -> Any:
        """The answer, which must have this status."""
        async with self._http.get(path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def run(self, player_id: str, workflow_id: str) -> str:
        """Starts the player's workflow and waits for its end; its status."""
        body = {"id": workflow_id, "playerId": player_id}
        await self.post("/api/workflows/player", body, 202)
        path = f"/api/workflows/{workflow_id}"
        ended = await eventually(
            lambda: self.get(path), lambda status: status["status"] in {"complete", "errored"}
        )
        return str(ended["status"])


def session(info: StackInfo) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {info.api_key}"}
    return aiohttp.ClientSession(info.gateway, headers=headers)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with temporary_folder() as place:
        data = place / ".data"
        data.mkdir(mode=0o711)
        yield Machine(data)


async def test_what_came_after_the_backup_is_gone_and_can_be_done_again(machine: Machine) -> None:
    async with machine.stack() as running, session(running.info) as http:
        caller = Caller(http)
        player = await caller.post("/api/players", {}, 201)
        assert await caller.run(player["id"], "first") == "complete"
        taken = await machine.backup("kept")
        refused = await machine.restore("kept")
        later = await caller.post("/api/players", {}, 201)
        assert await caller.run(later["id"], "second") == "complete"
    assert (taken.code, "the backup of" in taken.printed) == (0, True), taken.printed
    assert (refused.code, "a stack is running from" in refused.printed) == (1, True)

    restored = await machine.restore("kept")

    assert restored.code == 0, restored.printed
    assert "player is recovered: 1 instances" in restored.printed
    assert "1 taken away" in restored.printed
    assert "start the stack again with padawanforge run" in restored.printed
    async with machine.stack() as running, session(running.info) as http:
        caller = Caller(http)
        first = await caller.get("/api/workflows/first")
        assert first["status"] == "complete"
        await caller.get("/api/workflows/second", 404)
        await caller.get(f"/api/players/{later['id']}", 404)
        assert await caller.run(player["id"], "second") == "complete"
        progress = await caller.get(f"/api/players/{player['id']}/progress")
    assert progress["streakCurrent"] == 1


async def test_a_backup_is_restored_where_nothing_ever_was(machine: Machine) -> None:
    async with machine.stack() as running, session(running.info) as http:
        caller = Caller(http)
        player = await caller.post("/api/players", {}, 201)
        assert await caller.run(player["id"], "first") == "complete"
        assert (await machine.backup("kept")).code == 0
    other = Machine(machine.data.with_name("other"))

    restored = await other.restore("kept")

    assert restored.code == 0, restored.printed
    async with other.stack() as running, session(running.info) as http:
        caller = Caller(http)
        assert (await caller.get("/api/workflows/first"))["status"] == "complete"
        assert await caller.run(player["id"], "second") == "complete"


async def test_after_a_restore_no_customer_is_charged_twice(machine: Machine) -> None:
    async with machine.stack("virtual") as running, session(running.info) as http:
        caller = Caller(http)
        subscription = await subscribe(caller)
        assert (await machine.backup("kept")).code == 0
        await bill(machine, caller, subscription)
        before = await booked(running.info)
    assert [each.amount_minor for each in before] == [PRICE_MINOR] * 2

    restored = await machine.restore("kept")

    assert restored.code == 0, restored.printed
    assert "billing: the rows of sandbox_* stay as they are" in restored.printed
    async with machine.stack("virtual") as running, session(running.info) as http:
        caller = Caller(http)
        assert len(await paid_invoices(caller, subscription)) == 1
        await bill(machine, caller, subscription)
        after = await booked(running.info)
        violations = await caller.get("/api/billing/invariants")
    assert after == before
    assert violations["violations"] == []


async def subscribe(caller: Caller) -> dict[str, Any]:
    """A subscription whose first month is paid."""
    customer = {"currency": "EUR", "paymentMethod": "pm_card_visa"}
    customer = await caller.post("/api/customers", customer, 201)
    plan = {"id": "pro", "name": "Pro", "priceMinor": PRICE_MINOR, "currency": "EUR"}
    await caller.post("/api/plans", {**plan, "interval": "month"}, 201)
    wanted = {"customerId": customer["id"], "planId": "pro"}
    subscription: dict[str, Any] = await caller.post("/api/subscriptions", wanted, 201)
    await eventually(
        lambda: paid_invoices(caller, subscription), lambda invoices: len(invoices) == 1
    )
    return subscription


async def bill(machine: Machine, caller: Caller, subscription: dict[str, Any]) -> None:
    """The second month begins, and is paid."""
    advanced = await command("clock", "advance", ADVANCE, "--data", str(machine.data))
    assert advanced.code == 0, advanced.printed
    await eventually(
        lambda: paid_invoices(caller, subscription), lambda invoices: len(invoices) == 2
    )


async def paid_invoices(caller: Caller, subscription: dict[str, Any]) -> list[Any]:
    page = await caller.get(f"/api/customers/{subscription['customerId']}/invoices")
    return [each for each in page["invoices"] if each["state"] == "paid"]


async def booked(info: StackInfo) -> list[Booked]:
    """What the payment provider has taken, by its own books."""
    async with asyncpg.create_pool(info.databases["billing"], min_size=0, max_size=1) as pool:
        return await SandboxProvider(pool, ManualClock(), Secret("unused"), None).books()
