"""An operator reads and changes how long what is kept, and the next run goes by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from services.maintenance.app import define
from services.maintenance.config import MaintenanceSettings
from shared.runtime.config import load
from shared.runtime.service import Service
from shared.testing.clocks import ManualClock
from tests.conftest import MakeDatabase

Http = TestClient[Request, Application]

BOUND_SECONDS = 20.0
SENT = """
    INSERT INTO outbox (message_id, source, subject, headers, body, sent_at)
    VALUES ('old', 'test', 'events', '{}', '', now() - interval '9 days')
"""
LEFT = "SELECT count(*) FROM outbox WHERE message_id = 'old'"


@pytest.fixture
async def database(
    nats_url: str, http: Http, clock: ManualClock, make_database: MakeDatabase
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Of the maintenance service, which runs alone behind the gateway and is an owner, too."""
    url = await make_database("maintenance")
    settings = load(
        MaintenanceSettings, {"NATS_URL": nats_url, "DATABASE_URL": url, "HTTP_PORT": "0"}
    )
    service = Service(define(settings), settings, clock)
    running = asyncio.create_task(service.run())
    connection = await asyncpg.connect(url)
    async with asyncio.timeout(BOUND_SECONDS):
        while (await call(http, "GET", "/api/retention"))[0] == 503:
            pass
    yield connection
    await connection.close()
    service.stop()
    assert await running is None


async def call(http: Http, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with http.request(method, path, json=body) as answer:
        return answer.status, await answer.json()


async def run(http: Http, workflow_id: str) -> Any:
    """What the run's cleanup came to."""
    assert (await call(http, "POST", "/api/workflows/system", {"id": workflow_id}))[0] == 202
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            _, shown = await call(http, "GET", f"/api/workflows/{workflow_id}")
            if shown["status"] == "complete":
                return shown["output"]["databaseCleanup"]


async def test_what_an_operator_sets_counts_from_the_next_run_on(
    http: Http, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    _, listed = await call(http, "GET", "/api/retention")
    paths = {f"/api/retention/{each['owner']}/{each['name']}" for each in listed["policies"]}
    own = "/api/retention/maintenance/outbox"
    for path in paths - {own}:
        status, changed = await call(http, "PUT", path, {"enabled": False})
        assert (status, changed["enabled"], changed["updatedBy"]) == (200, False, "api")
    await database.execute(SENT)

    assert (await call(http, "PUT", own, {"keepSeconds": 10 * 86_400}))[0] == 200
    kept = await run(http, "first")
    assert await database.fetchval(LEFT) == 1
    assert (await call(http, "PUT", own, {"keepSeconds": 8 * 86_400}))[0] == 200
    deleted = await run(http, "second")
    assert await database.fetchval(LEFT) == 0

    for cleaned in (kept, deleted):
        assert cleaned["failures"] == []
        assert [each["name"] for each in cleaned["policies"]] == ["outbox"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("maintenance/outbox", {"keepSeconds": 6 * 86_400}, (422, "kept_too_shortly")),
        ("player/messages", {"keepSeconds": 3599}, (422, "invalid_message")),
        ("player/messages", {}, (422, "nothing_to_change")),
        ("player/invoices", {"enabled": False}, (404, "policy_not_found")),
    ],
)
@pytest.mark.usefixtures("database")
async def test_what_would_be_kept_too_shortly_or_is_not_there_is_refused(
    http: Http, path: str, body: Any, expected: tuple[int, str]
) -> None:
    status, problem = await call(http, "PUT", f"/api/retention/{path}", body)
    assert (status, problem["code"]) == expected
