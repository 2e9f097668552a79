"""What a credential may do, shown with tokens: a key's scopes are looked at in the same place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.credentials.access import Access
from shared.jetstream.connection import jetstream
from shared.messages import subjects
from tests.integration.gateway.issuing import IssuingServer, issuing

Http = TestClient[Request, Application]
MakeGatewayWith = Callable[[Client, Access], Awaitable[Http]]

ACTIONS = ("pause", "resume", "terminate", "restart", "signals/any")


@dataclass
class Door:
    """A gateway, and tokens with any scopes."""

    http: Http
    issuer: IssuingServer

    async def ask(
        self, scope: str, method: str, path: str, body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.issuer.token(scope=scope)}"}
        async with self.http.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def door(nats_client: Client, make_gateway_with: MakeGatewayWith) -> AsyncIterator[Door]:
    async with issuing() as issuer:
        http = await make_gateway_with(nats_client, Access(issuer=issuer.issuer))
        for kind, body in (
            ("player", {"id": "of-player", "playerId": str(uuid4())}),
            ("customer", {"id": "of-customer", "customerId": str(uuid4())}),
            ("player", {"id": "of-both", "playerId": str(uuid4())}),
            ("customer", {"id": "of-both", "customerId": str(uuid4())}),
        ):
            assert (await http.post(f"/api/workflows/{kind}", json=body)).status == 202
        yield Door(http, issuer)


@pytest.mark.rule("http-scopes")
async def test_who_is_let_in_for_players_starts_nothing_of_billing(
    door: Door, nats_client: Client
) -> None:
    body = {"customerId": str(uuid4())}
    for path, content in (
        ("/api/workflows/customer", body),
        ("/api/workflows/customer/batch", {"instances": [body]}),
    ):
        status, problem = await door.ask("player:* players:*", "POST", path, content)
        assert (status, problem["code"]) == (403, "forbidden")
        assert "'customer:start'" in problem["detail"]
    stream = await jetstream(nats_client).stream_info(subjects.workflows_stream("billing"))
    assert stream.state.messages == 2, "those of the fixture"


@pytest.mark.rule("http-scopes")
@pytest.mark.parametrize("path", ["/api/workflows/{}", "/api/workflows?id={}"])
async def test_an_instance_of_another_kind_looks_unknown(door: Door, path: str) -> None:
    there = await door.ask("player:read", "GET", path.format("of-customer"))
    nowhere = await door.ask("player:read", "GET", path.format("of-nobody"))
    assert (there[0], nowhere[0]) == (404, 404)
    for answer, name in ((there, "of-customer"), (nowhere, "of-nobody")):
        assert answer[1]["detail"] == f"no workflow has the id {name!r}"
    assert (await door.ask("player:read", "GET", path.format("of-player")))[0] == 200
    # That the id exists under another kind too is nothing that this caller may know.
    status, found = await door.ask("player:read", "GET", path.format("of-both"))
    assert (status, found["kind"]) == (200, "player")
    both = await door.ask("player:read customer:read", "GET", path.format("of-both"))
    assert (both[0], both[1]["code"]) == (422, "kind_required")


@pytest.mark.rule("http-scopes")
async def test_a_kind_that_is_asked_for_by_name_is_forbidden(door: Door) -> None:
    path = "/api/workflows/of-customer?kind=customer"
    status, problem = await door.ask("player:read", "GET", path)
    assert status == 403
    assert "'customer:read'" in problem["detail"]


@pytest.mark.rule("http-scopes")
@pytest.mark.parametrize("action", ACTIONS)
async def test_nothing_is_done_to_an_instance_of_another_kind(
    door: Door, nats_client: Client, action: str
) -> None:
    unnamed = await door.ask("player:*", "POST", f"/api/workflows/of-customer/{action}", {})
    named = await door.ask(
        "player:*", "POST", f"/api/workflows/of-customer/{action}?kind=customer", {}
    )
    assert (unnamed[0], named[0]) == (404, 403)
    stream = await jetstream(nats_client).stream_info(subjects.workflows_stream("billing"))
    assert stream.state.messages == 2, "the starts alone"


@pytest.mark.rule("http-scopes")
@pytest.mark.parametrize("action", ACTIONS)
async def test_who_may_read_an_instance_is_told_what_else_is_needed(
    door: Door, action: str
) -> None:
    path = f"/api/workflows/of-player/{action}"
    status, problem = await door.ask("player:read", "POST", path, {})
    assert status == 403
    needed = "signal" if action.startswith("signals") else action
    assert f"'player:{needed}'" in problem["detail"]


@pytest.mark.rule("http-scopes", "http-actor")
async def test_one_action_is_enough_for_itself_and_its_actor_is_told(
    door: Door, nats_client: Client
) -> None:
    status, _ = await door.ask("player:pause", "POST", "/api/workflows/of-player/pause", {})
    assert status == 202
    found = await jetstream(nats_client).get_last_msg(
        subjects.workflows_stream("player"), subjects.control("player")
    )
    headers = cast("dict[str, str]", found.headers)
    assert headers[subjects.ACTOR] == "jwt:user-1"
    terminated = await door.ask(
        "player:pause player:read", "POST", "/api/workflows/of-player/terminate", {}
    )
    assert terminated[0] == 403


@pytest.mark.rule("http-scopes")
@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", f"/api/players/{uuid4()}", "players:read"),
        ("PATCH", f"/api/players/{uuid4()}", "players:write"),
        ("POST", f"/api/players/{uuid4()}/grants", "players:grant"),
        ("GET", "/api/customers/one", "billing:read"),
        ("POST", "/api/invoices/one/refund", "billing:refund"),
        ("GET", "/api/keys", "keys:read"),
        ("POST", "/api/keys", "keys:write"),
        ("DELETE", "/api/keys/one", "keys:write"),
        ("GET", "/api/dead-letters", "dead-letters:read"),
    ],
)
async def test_a_scope_that_is_missing_is_named(
    door: Door, method: str, path: str, needed: str
) -> None:
    almost = "player:* schedules:* players:none billing:none keys:none"
    status, problem = await door.ask(almost, method, path)
    assert (status, problem["code"]) == (403, "forbidden")
    assert f"{needed!r}" in problem["detail"]
