"""Every address needs a scope or is open, and a caller has what its scopes say."""

from __future__ import annotations

import pytest
from nats.aio.client import Client

from services.gateway.app import create_app
from services.gateway.credentials.caller import Caller
from services.gateway.middleware import OPEN_PATHS, WEBHOOKS
from services.gateway.routes.scopes import ACTIONS_ON_KINDS, KIND, OWN, scope_of
from shared.messages.problems import Refused
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock

ROUTES = sorted(
    {
        (route.method, route.resource.canonical)
        for route in create_app(Client(), Secret("key"), ManualClock()).router.routes()
        if route.resource is not None
    }
)


def caller(*scopes: str) -> Caller:
    return Caller("key:one", frozenset(scopes))


@pytest.mark.rule("http-access")
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_is_open_or_needs_a_scope(method: str, path: str) -> None:
    opened = path in OPEN_PATHS or path == WEBHOOKS
    assert opened != (scope_of(method, path) is not None)


def test_no_scope_is_of_an_address_that_there_is_not() -> None:
    assert OWN.keys() <= set(ROUTES)


def test_an_address_that_nobody_gave_a_scope_has_none() -> None:
    assert scope_of("GET", "/api/unheard-of") is None
    assert scope_of("GET", "/players") is None


@pytest.mark.parametrize(
    ("scopes", "wanted", "expected"),
    [
        (["player:start"], "player:start", True),
        (["player:start"], "player:read", False),
        (["player:start"], "players:read", False),
        (["player:*"], "player:restart", True),
        (["player:*"], "players:read", False),
        (["*"], "keys:write", True),
        (["*:*"], "keys:write", False),
        (["billing:read", "player:*"], "billing:write", False),
        (["player:*"], "*", False),
        (["player:*"], "player:*", True),
        (["player:start"], "player:*", False),
        ([], "player:read", False),
    ],
)
def test_a_scope_covers_itself_or_all_of_its_subject(
    scopes: list[str], wanted: str, expected: bool
) -> None:
    assert caller(*scopes).may(wanted) is expected


@pytest.mark.rule("http-access")
def test_what_is_missing_is_named() -> None:
    with pytest.raises(Refused, match="'customer:terminate'") as refused:
        caller("player:*").require("customer:terminate")
    assert (refused.value.code, refused.value.status) == ("forbidden", 403)


def test_a_kind_is_among_those_that_any_of_the_actions_is_allowed_of() -> None:
    found = caller("player:read", "renewal:pause").among(
        ["player", "renewal", "customer"], "read", "pause"
    )
    assert found == ["player", "renewal"]


def test_the_actions_on_kinds_are_those_that_addresses_need() -> None:
    asked = {scope.removeprefix(f"{KIND}:") for scope in OWN.values() if scope.startswith(KIND)}
    assert asked - {"{action}"} < set(ACTIONS_ON_KINDS)
