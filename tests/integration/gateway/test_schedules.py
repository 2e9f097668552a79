"""Calls about schedules, and the services that answer them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.routes.schedules import ACTIONS, ScheduleRoutes
from shared.jetstream.requests import Answer, Requests, RequestServer
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.problems import Refused
from shared.messages.schedules import Schedule, Schedules

Http = TestClient[Request, Application]


class Asked(msgspec.Struct, frozen=True):
    """A request as it reached the service."""

    subject: str
    body: bytes
    headers: dict[str, str]


class ServiceWithSchedules:
    """Has one schedule, and remembers what it was asked."""

    def __init__(self, name: str):
        self.name = name
        self.asked: list[Asked] = []
        self.failure: Exception | None = None
        self.schedule = Schedule(
            service=name,
            name="nightly",
            kind="sample",
            expression="0 3 * * *",
            time_zone="UTC",
            input=msgspec.Raw(b"{}"),
            next_at=datetime(2026, 3, 2, 3, tzinfo=UTC),
            last_at=None,
        )

    def server(self, client: Client) -> RequestServer:
        """Answers on a connection."""
        commands = [subjects.command(self.name, f"{action}_schedule") for action in ACTIONS]
        return RequestServer(
            client,
            self.name,
            {
                subjects.query(self.name, "schedules"): self._list,
                **{subject: self._taking(subject) for subject in commands},
            },
        )

    async def _list(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        return encode(Schedules(schedules=(self.schedule,)))

    def _taking(self, subject: str) -> Answer:
        async def take(body: bytes, headers: Mapping[str, str]) -> bytes:
            self.asked.append(Asked(subject, body, dict(headers)))
            if self.failure is not None:
                raise self.failure
            return b'{"answered":true}'

        return take


@pytest.fixture
async def player(nats_client: Client) -> AsyncIterator[ServiceWithSchedules]:
    service = ServiceWithSchedules("player")
    server = service.server(nats_client)
    await server.start()
    yield service
    await server.stop()


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_becomes_one_request_with_name_actor_and_key(
    http: Http, player: ServiceWithSchedules, action: str
) -> None:
    headers = {"Idempotency-Key": "once"}
    path = f"/api/schedules/player/nightly/{action}"
    async with http.post(path, headers=headers) as answer:
        assert answer.status == ACTIONS[action]
        assert await answer.json() == {"answered": True}
    [asked] = player.asked
    assert asked.subject == f"commands.player.{action}_schedule"
    assert msgspec.json.decode(asked.body) == {"name": "nightly"}
    assert asked.headers[subjects.ACTOR] == "key:bootstrap"
    assert asked.headers[subjects.IDEMPOTENCY_KEY] == "once"


async def test_the_schedules_of_one_service_are_listed(
    http: Http, player: ServiceWithSchedules
) -> None:
    async with http.get("/api/schedules?service=player") as answer:
        assert answer.status == 200
        found = msgspec.json.decode(await answer.read(), type=Schedules)
        assert found == Schedules(schedules=(player.schedule,))


async def test_the_schedules_of_all_services_are_one_list(nats_client: Client) -> None:
    names = ["player", "billing"]
    async with AsyncExitStack() as stack:
        for name in names:
            server = ServiceWithSchedules(name).server(nats_client)
            await server.start()
            stack.push_async_callback(server.stop)
        app = Application()
        app.add_routes(ScheduleRoutes(Requests(nats_client), names).table())
        http = await stack.enter_async_context(TestClient(TestServer(app)))
        async with http.get("/api/schedules") as answer:
            listed = (await answer.json())["schedules"]
    assert [each["service"] for each in listed] == ["billing", "player"]


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    ("method", "path", "status", "code", "field"),
    [
        ("GET", "/api/schedules?service=mars", 404, "unknown_service", "service"),
        ("GET", "/api/schedules?service=", 404, "unknown_service", "service"),
        ("POST", "/api/schedules/mars/nightly/pause", 404, "unknown_service", "service"),
        ("POST", "/api/schedules/player/a.b/pause", 422, "invalid_message", "name"),
        ("POST", f"/api/schedules/player/{'x' * 64}/trigger", 422, "invalid_message", "name"),
        ("POST", "/api/schedules/player/nightly/delete", 404, "not_found", None),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_reaches_no_service(
    http: Http,
    player: ServiceWithSchedules,
    method: str,
    path: str,
    status: int,
    code: str,
    field: str | None,
) -> None:
    async with http.request(method, path) as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"], problem.get("field")) == (status, code, field)
    assert player.asked == []


@pytest.mark.rule("http-problems")
async def test_a_refusal_of_the_service_is_told_as_it_said(
    http: Http, player: ServiceWithSchedules
) -> None:
    player.failure = Refused("schedule_not_found", "no such schedule", status=404, field="name")
    async with http.post("/api/schedules/player/weekly/pause") as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"]) == (404, "schedule_not_found")


@pytest.mark.rule("http-problems")
async def test_a_service_that_does_not_run_is_503(http: Http) -> None:
    async with http.get("/api/schedules") as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers
