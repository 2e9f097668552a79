"""Signals and controls over HTTP: what is refused, and what reaches the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from nats.aio.client import Client

from services.gateway.app import create_app, ensure
from shared.jetstream.connection import jetstream
from shared.jetstream.status import JetStreamStatusBucket
from shared.jetstream.topology import ensure_streams
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import (
    TRIGGERS,
    ControlCommand,
    ErrorInfo,
    SignalCommand,
    Status,
    StatusDocument,
    StepStatus,
)
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock
from shared.testing.journeys import StartJourney
from shared.workflow.records import InstanceKey
from tests.integration.gateway.conftest import API_KEY, Http

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE = "/api/workflows/one"


@pytest.fixture
async def http(nats_client: Client, clock: ManualClock) -> AsyncIterator[Http]:
    """A gateway that knows a kind with signals too."""
    await ensure(nats_client)
    await ensure_streams(jetstream(nats_client), "sample", ["journey"])
    app = create_app(
        nats_client, Secret(API_KEY), clock, triggers={**TRIGGERS, "journey": StartJourney}
    )
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with TestClient(TestServer(app), headers=headers) as client:
        yield client


async def put(
    client: Client, status: Status, *, kind: str = "journey", error: str | None = None
) -> None:
    document = StatusDocument(
        workflow_id="one",
        kind=kind,
        status=status,
        created_at=NOON,
        updated_at=NOON,
        steps=(StepStatus(name="pack", status="complete", attempts=1, started_at=NOON),),
        error=None if error is None else ErrorInfo(name=error, message="…"),
        version=1,
    )
    key = InstanceKey(kind, "one")
    await JetStreamStatusBucket(client).put(key, encode(document), document.order, None)


async def stored(client: Client, stream: str = "WORKFLOWS_SAMPLE") -> list[Any]:
    """The messages of the stream, in order."""
    js = jetstream(client)
    state = (await js.stream_info(stream)).state
    return [
        await js.get_msg(stream, sequence)
        for sequence in range(state.first_seq, state.last_seq + 1)
        if state.messages
    ]


async def post(http: Http, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(path, json=body, headers=given) as answer:
        return answer.status, await answer.json()


@pytest.mark.rule("engine-14", "http-controls")
@pytest.mark.parametrize("action", ["pause", "resume", "terminate", "restart"])
async def test_a_control_is_accepted_once_its_stream_keeps_it(
    http: Http, nats_client: Client, action: str
) -> None:
    await put(nats_client, Status.WAITING)
    assert await post(http, f"{ONE}/{action}") == (202, {"workflowId": "one"})
    [message] = await stored(nats_client)
    assert message.subject == subjects.control("journey")
    assert message.headers[subjects.ACTOR] == "key:bootstrap"
    command = msgspec.json.decode(message.data, type=ControlCommand)
    assert command == ControlCommand(id="one", action=command.action)
    assert command.action == action


@pytest.mark.rule("http-controls")
async def test_terminate_and_restart_say_how(http: Http, nats_client: Client) -> None:
    await put(nats_client, Status.RUNNING)
    await post(http, f"{ONE}/terminate", {"rollback": True})
    await post(http, f"{ONE}/restart", {"fromStep": "pack"})
    first, second = [
        msgspec.json.decode(each.data, type=ControlCommand) for each in await stored(nats_client)
    ]
    assert first.rollback
    assert second.from_step == "pack"


@pytest.mark.rule("http-controls")
@pytest.mark.parametrize("ended", [Status.COMPLETE, Status.ERRORED, Status.TERMINATED])
@pytest.mark.parametrize(
    "path", ["/pause", "/resume", "/terminate", "/signals/approved"], ids=lambda path: path[1:]
)
async def test_what_has_ended_takes_a_restart_and_nothing_else(
    http: Http, nats_client: Client, ended: Status, path: str
) -> None:
    await put(nats_client, ended)
    status, problem = await post(http, ONE + path)
    assert (status, problem["code"]) == (409, "workflow_ended")
    assert await stored(nats_client) == []
    assert (await post(http, f"{ONE}/restart"))[0] == 202


@pytest.mark.rule("engine-23", "http-controls")
async def test_what_poison_has_ended_may_be_resumed(http: Http, nats_client: Client) -> None:
    await put(nats_client, Status.ERRORED, error="poisoned")
    assert (await post(http, f"{ONE}/resume"))[0] == 202


@pytest.mark.rule("http-controls")
@pytest.mark.parametrize(
    ("path", "body", "expected", "code", "field"),
    [
        ("/api/workflows/absent/pause", None, 404, "workflow_not_found", None),
        ("/api/workflows/no%20id/pause", None, 400, "invalid_workflow_id", "id"),
        (f"{ONE}/destroy", None, 404, "not_found", None),
        (f"{ONE}/terminate", {"rollback": "yes"}, 422, "invalid_message", "rollback"),
        (f"{ONE}/terminate", {"rolback": True}, 422, "invalid_message", "rolback"),
        (f"{ONE}/pause", {"now": True}, 422, "invalid_message", "now"),
        (f"{ONE}/restart", {"fromStep": "fly"}, 422, "unknown_step", "fromStep"),
        (f"{ONE}/signals/a.b", {}, 422, "invalid_signal_type", "type"),
        (f"{ONE}/signals/{'x' * 101}", {}, 422, "invalid_signal_type", "type"),
        (f"{ONE}/signals/refused", {}, 422, "unknown_signal", "type"),
        (f"{ONE}/signals/approved", {"by": 7}, 422, "invalid_message", "by"),
    ],
)
async def test_what_cannot_be_carried_out_says_why_and_is_not_published(
    http: Http,
    nats_client: Client,
    path: str,
    body: Any,
    expected: int,
    code: str,
    field: str | None,
) -> None:
    await put(nats_client, Status.WAITING)
    status, problem = await post(http, path, body)
    assert (status, problem["code"], problem.get("field")) == (expected, code, field)
    assert await stored(nats_client) == []


@pytest.mark.rule("engine-12", "http-signals")
async def test_a_signal_is_accepted_for_whoever_has_not_ended(
    http: Http, nats_client: Client
) -> None:
    await put(nats_client, Status.QUEUED)
    assert await post(http, f"{ONE}/signals/approved", {"by": "ada"}) == (
        202,
        {"workflowId": "one"},
    )
    [message] = await stored(nats_client)
    assert message.subject == subjects.signal("journey", "one")
    command = msgspec.json.decode(message.data, type=SignalCommand)
    assert (command.type, bytes(command.payload)) == ("approved", b'{"by":"ada"}')


@pytest.mark.rule("engine-13", "http-signals")
async def test_a_signal_with_its_idempotency_key_is_kept_once(
    http: Http, nats_client: Client
) -> None:
    await put(nats_client, Status.WAITING)
    for key in ("a", "a", "b"):
        status, _ = await post(http, f"{ONE}/signals/approved", {}, Idempotency_Key=key)
        assert status == 202
    assert len(await stored(nats_client)) == 2


@pytest.mark.rule("http-signals")
async def test_of_two_kinds_with_the_id_the_query_names_one(
    http: Http, nats_client: Client
) -> None:
    await put(nats_client, Status.WAITING)
    await put(nats_client, Status.WAITING, kind="player")
    assert (await post(http, f"{ONE}/pause"))[1]["code"] == "kind_required"
    assert (await post(http, f"{ONE}/pause?kind=player"))[0] == 202
    assert [each.subject for each in await stored(nats_client, "WORKFLOWS_PLAYER")] == [
        subjects.control("player")
    ]
