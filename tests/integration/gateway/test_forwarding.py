"""Calls about players, sessions and achievements, and the service that answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.routes import achievements, notices, players, sessions
from shared.messages import subjects
from shared.messages.problems import Refused
from shared.workflow.errors import Transient
from tests.integration.gateway.answering import AnsweringService, answering

Http = TestClient[Request, Application]

PLAYER = str(uuid4())
SESSION = str(uuid4())


@pytest.fixture
async def service(nats_client: Client) -> AsyncIterator[AnsweringService]:
    rows = (*players.TABLE, *sessions.TABLE, *achievements.TABLE, *notices.TABLE)
    async with answering(nats_client, "player", rows) as fake:
        yield fake


ADDRESSES: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/players", {"externalId": "e"}, 201, "commands.player.create_player"),
    ("GET", f"/api/players/{PLAYER}", None, 200, "queries.player.player"),
    (
        "PATCH",
        f"/api/players/{PLAYER}",
        {"isActive": False},
        200,
        "commands.player.update_player",
    ),
    ("GET", f"/api/players/{PLAYER}/progress", None, 200, "queries.player.progress"),
    ("GET", f"/api/players/{PLAYER}/inventory", None, 200, "queries.player.inventory"),
    ("GET", f"/api/players/{PLAYER}/xp?limit=5", None, 200, "queries.player.xp_history"),
    ("GET", f"/api/players/{PLAYER}/sessions?cursor=3", None, 200, "queries.player.sessions"),
    ("GET", f"/api/players/{PLAYER}/notifications", None, 200, "queries.player.notifications"),
    (
        "POST",
        f"/api/players/{PLAYER}/notifications/7/acknowledge",
        None,
        200,
        "commands.player.acknowledge_notification",
    ),
    ("POST", f"/api/players/{PLAYER}/logins", {}, 201, "commands.player.login"),
    ("POST", f"/api/players/{PLAYER}/messages", {"text": "hi"}, 201, "commands.player.message"),
    (
        "POST",
        f"/api/players/{PLAYER}/activities",
        {"event": "create_npc", "sourceId": "n"},
        201,
        "commands.player.activity",
    ),
    (
        "POST",
        f"/api/players/{PLAYER}/spend",
        {"key": "k", "coins": 1},
        200,
        "commands.player.spend",
    ),
    (
        "POST",
        f"/api/players/{PLAYER}/grants",
        {"key": "k", "reason": "r", "xp": 1},
        200,
        "commands.player.grant",
    ),
    (
        "POST",
        f"/api/players/{PLAYER}/revocations",
        {"key": "k", "reason": "r", "xp": 1},
        200,
        "commands.player.revoke",
    ),
    ("POST", "/api/sessions", {"playerId": PLAYER}, 201, "commands.player.session"),
    ("GET", f"/api/sessions/{SESSION}", None, 200, "queries.player.session"),
    ("PATCH", f"/api/sessions/{SESSION}", {"status": "abandoned"}, 200, "commands.player.session"),
    ("GET", "/api/achievements?includeHidden=true", None, 200, "queries.player.achievements"),
    (
        "POST",
        "/api/achievements",
        {"id": "a", "name": "A", "type": "level", "threshold": 3},
        201,
        "commands.player.create_achievement",
    ),
    (
        "PATCH",
        "/api/achievements/a",
        {"hidden": True},
        200,
        "commands.player.update_achievement",
    ),
    (
        "GET",
        "/api/notices?service=player&recipient=ann&since=2026-03-02T12:00:00Z",
        None,
        200,
        "queries.player.notices",
    ),
    (
        "POST",
        "/api/notices/7/acknowledge?service=player",
        None,
        200,
        "commands.player.acknowledge_notice",
    ),
]


def test_every_address_of_the_tables_is_tried() -> None:
    rows = (*players.TABLE, *sessions.TABLE, *achievements.TABLE, *notices.TABLE)
    assert len(ADDRESSES) == len(rows)


@pytest.mark.rule("http-player-calls")
@pytest.mark.parametrize(("method", "path", "body", "expected", "subject"), ADDRESSES)
async def test_a_call_becomes_one_request_that_carries_address_body_and_actor(
    http: Http,
    service: AnsweringService,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    expected: int,
    subject: str,
) -> None:
    headers = {"Idempotency-Key": "once"}
    async with http.request(method, path, json=body, headers=headers) as answer:
        assert answer.status == expected
        assert await answer.json() == {"answered": True}
    [asked] = service.asked
    assert asked.subject == subject
    assert asked.headers[subjects.ACTOR] == "api"
    assert asked.headers.get(subjects.IDEMPOTENCY_KEY) == (None if method == "GET" else "once")
    assert (body or {}).items() <= asked.body.items()
    for part, field in ((PLAYER, "playerId"), (SESSION, "sessionId")):
        if part in path:
            assert asked.body[field] == part


@pytest.mark.rule("http-player-calls")
async def test_query_parameters_become_typed_fields(http: Http, service: AnsweringService) -> None:
    await http.get(f"/api/players/{PLAYER}/xp?limit=5&cursor=9&other=1")
    await http.get("/api/achievements?includeHidden=true")
    page, catalogue = (asked.body for asked in service.asked)
    assert page == {"playerId": PLAYER, "limit": 5, "cursor": 9}
    assert catalogue == {"includeHidden": True}


@pytest.mark.rule("http-player-calls")
async def test_a_purchase_without_a_key_takes_the_idempotency_key(
    http: Http, service: AnsweringService
) -> None:
    headers = {"Idempotency-Key": "purchase-1"}
    await http.post(f"/api/players/{PLAYER}/spend", json={"coins": 1}, headers=headers)
    assert service.asked[0].body["key"] == "purchase-1"


@pytest.mark.rule("http-player-calls")
async def test_an_id_that_was_left_out_is_the_same_for_a_repeated_request(
    http: Http, service: AnsweringService
) -> None:
    headers = {"Idempotency-Key": "session-1"}
    for _ in range(2):
        await http.post("/api/sessions", json={}, headers=headers)
    await http.post("/api/sessions", json={})
    first, again, other = (UUID(asked.body["sessionId"]) for asked in service.asked)
    assert first == again != other


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("GET", "/api/players/nobody", None, "playerId"),
        ("GET", f"/api/players/{PLAYER}/xp?limit=0", None, "limit"),
        ("GET", f"/api/players/{PLAYER}/xp?limit=many", None, "limit"),
        ("GET", f"/api/players/{PLAYER}/xp?limit=1&limit=2", None, "limit"),
        ("GET", f"/api/players/{PLAYER}/xp?cursor=null", None, "cursor"),
        ("POST", f"/api/players/{PLAYER}/notifications/x/acknowledge", None, "notificationId"),
        ("GET", "/api/notices", None, "service"),
        ("GET", "/api/notices?service=player.spend", None, "service"),
        ("GET", "/api/notices?service=player&since=yesterday", None, "since"),
        ("POST", "/api/notices/7/acknowledge", None, "service"),
        ("POST", "/api/notices/x/acknowledge?service=player", None, "noticeId"),
        ("POST", f"/api/players/{PLAYER}/spend", {"coins": 1}, "key"),
        ("POST", f"/api/players/{PLAYER}/spend", {"key": "k", "coins": "1"}, "coins"),
        ("POST", f"/api/players/{PLAYER}/spend", {"key": "k", "coins": -1}, "coins"),
        ("PATCH", f"/api/players/{PLAYER}", {"playerId": str(uuid4())}, "playerId"),
        (
            "POST",
            "/api/achievements",
            {"id": "a", "name": "A", "type": "x", "threshold": 1},
            "type",
        ),
        (
            "POST",
            "/api/achievements",
            {"id": "a", "name": "A", "type": "level", "threshold": 1, "reward": {"xp": -1}},
            "reward.xp",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_field_named_and_reaches_no_service(
    http: Http,
    service: AnsweringService,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    field: str,
) -> None:
    async with http.request(method, path, json=body) as answer:
        problem = await answer.json()
    # Who names no service names no address.
    assert (problem["status"], problem["field"]) == (404 if field == "service" else 422, field)
    assert service.asked == []


@pytest.mark.rule("http-problems")
async def test_what_the_service_refuses_is_told_as_it_said(
    http: Http, service: AnsweringService
) -> None:
    service.failure = Refused("player_not_found", "no such player", status=404, field="playerId")
    async with http.get(f"/api/players/{PLAYER}") as answer:
        problem = await answer.json()
    assert answer.status == 404
    assert (problem["code"], problem["detail"], problem["field"]) == (
        "player_not_found",
        "no such player",
        "playerId",
    )


@pytest.mark.rule("http-problems")
async def test_an_error_inside_the_service_is_told_without_its_words(
    http: Http, service: AnsweringService
) -> None:
    service.failure = RuntimeError("password of the database")
    async with http.get(f"/api/players/{PLAYER}") as answer:
        assert answer.status == 500
        assert "password" not in await answer.text()


@pytest.mark.rule("http-problems")
async def test_a_service_whose_database_is_away_is_503_with_retry_after(
    http: Http, service: AnsweringService
) -> None:
    service.failure = Transient("PostgreSQL is away")
    async with http.get(f"/api/players/{PLAYER}") as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.rule("http-problems")
async def test_a_service_that_does_not_run_is_503_and_says_that_nothing_was_changed(
    http: Http,
) -> None:
    async with http.post("/api/players", json={}) as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        assert "nothing was changed" in (await answer.json())["detail"]
