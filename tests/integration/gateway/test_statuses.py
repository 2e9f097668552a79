"""Reading where an instance stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client
from prometheus_client import REGISTRY

from services.gateway.statuses import StatusReader
from shared.jetstream.connection import jetstream
from shared.jetstream.requests import RequestServer
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.problems import Refused
from shared.messages.workflows import (
    ErrorInfo,
    InstanceQuery,
    StartPlayer,
    Status,
    StatusDocument,
    StepStatus,
)
from shared.testing.clocks import ManualClock
from shared.workflow.records import InstanceKey

Http = TestClient[Request, Application]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
START = "/api/workflows/player"
BODY = {"playerId": "8a5f0b4e-50d5-4c6b-9a38-0d8b3cf1d1a5", "id": "one"}


def complete(workflow_id: str = "one", kind: str = "player") -> StatusDocument:
    return StatusDocument(
        workflow_id=workflow_id,
        kind=kind,
        status=Status.COMPLETE,
        created_at=NOON,
        updated_at=NOON,
        started_at=NOON,
        finished_at=NOON,
        completed_steps=("cleanup",),
        errors=(ErrorInfo(name="Timeout", message="late", step="stats_update"),),
        steps=(StepStatus(name="cleanup", status="complete", attempts=2, started_at=NOON),),
        output=msgspec.Raw(b'{"xp":10}'),
        version=4,
        body_hash="hash",
        idempotency_key="key",
        actor="api",
    )


async def put(client: Client, document: StatusDocument) -> None:
    key = InstanceKey(document.kind, document.workflow_id)
    await JetStreamStatusBucket(client).put(key, encode(document), document.order, None)


def lost_so_far() -> float:
    labels = {"kind": "player"}
    return REGISTRY.get_sample_value("gateway_unknown_instances_total", labels) or 0


async def shown(http: Http) -> str:
    async with http.get("/api/workflows/one") as answer:
        assert answer.status == 200
        status: str = (await answer.json())["status"]
        return status


@pytest.mark.rule("http-status")
@pytest.mark.parametrize(
    "path", ["/api/workflows/one", "/api/workflows?id=one", "/api/workflows?id=one&kind=player"]
)
async def test_a_status_is_read_in_either_form_and_shows_every_field(
    http: Http, nats_client: Client, path: str
) -> None:
    await put(nats_client, complete())
    async with http.get(path) as answer:
        assert answer.status == 200
        status = await answer.json()
    assert set(status) == {
        "workflowId",
        "kind",
        "status",
        "createdAt",
        "updatedAt",
        "startedAt",
        "finishedAt",
        "completedSteps",
        "errors",
        "steps",
        "output",
        "outputOmitted",
        "error",
        "wakeAt",
        "rollback",
    }
    assert status["output"] == {"xp": 10}
    assert status["completedSteps"] == ["cleanup"]
    assert status["steps"][0]["attempts"] == 2


@pytest.mark.rule("http-status")
@pytest.mark.parametrize(
    ("path", "expected", "field"),
    [
        ("/api/workflows?id=", 400, "id"),
        ("/api/workflows?id=no%20id", 400, "id"),
        ("/api/workflows/>", 400, "id"),
        ("/api/workflows/*", 400, "id"),
        ("/api/workflows/one%0A", 400, "id"),
        ("/api/workflows/absent", 404, None),
        ("/api/workflows?id=absent&kind=player", 404, None),
        ("/api/workflows?id=one&kind=absent", 404, None),
    ],
)
async def test_a_status_that_cannot_be_read_says_why(
    http: Http, nats_client: Client, path: str, expected: int, field: str | None
) -> None:
    await put(nats_client, complete())
    async with http.get(path) as answer:
        problem = await answer.json()
    assert (problem["status"], problem.get("field")) == (expected, field)


class StartOther(StartPlayer, frozen=True, kw_only=True):
    kind = "other"


@pytest.mark.rule("http-status")
async def test_an_id_of_several_kinds_is_asked_for_with_its_kind(
    http: Http, nats_client: Client, clock: ManualClock
) -> None:
    await put(nats_client, complete())
    await put(nats_client, complete(kind="other"))
    reader = StatusReader(
        JetStreamStatusBucket(nats_client),
        nats_client,
        clock,
        {"player": StartPlayer, "other": StartOther},
    )
    with pytest.raises(Refused, match="player, other have this id") as refused:
        await reader.read("one", None)
    assert refused.value.field == "kind"
    assert (await reader.read("one", "other")).kind == "other"


@pytest.fixture
async def player_service(nats_client: Client) -> AsyncIterator[dict[str, StatusDocument]]:
    """Answers the instance query from a dictionary, as the service does from its journal."""
    instances: dict[str, StatusDocument] = {}

    async def instance(body: bytes, _: Mapping[str, str]) -> bytes:
        query = msgspec.json.decode(body, type=InstanceQuery)
        if query.id not in instances:
            raise Refused("workflow_not_found", "no such instance", status=404)
        return encode(instances[query.id])

    server = RequestServer(nats_client, "player", {subjects.query("player", "instance"): instance})
    await server.start()
    yield instances
    await server.stop()


@pytest.mark.rule("engine-15")
async def test_a_queued_instance_without_message_or_row_is_unknown_after_ten_minutes(
    http: Http,
    nats_client: Client,
    clock: ManualClock,
    player_service: dict[str, StatusDocument],
) -> None:
    await http.post(START, json=BODY)
    await jetstream(nats_client).purge_stream(subjects.workflows_stream("player"))
    clock.advance(timedelta(minutes=9, seconds=59))
    assert await shown(http) == "queued"
    clock.advance(timedelta(seconds=1))
    before = lost_so_far()
    assert await shown(http) == "unknown"
    assert lost_so_far() == before + 1


@pytest.mark.rule("engine-15")
async def test_a_queued_instance_whose_message_waits_stays_queued(
    http: Http, clock: ManualClock, player_service: dict[str, StatusDocument]
) -> None:
    await http.post(START, json=BODY)
    clock.advance(timedelta(hours=1))
    assert await shown(http) == "queued"


@pytest.mark.rule("engine-15")
async def test_a_queued_instance_that_its_service_knows_is_shown_as_the_service_has_it(
    http: Http,
    nats_client: Client,
    clock: ManualClock,
    player_service: dict[str, StatusDocument],
) -> None:
    await http.post(START, json=BODY)
    await jetstream(nats_client).purge_stream(subjects.workflows_stream("player"))
    player_service["one"] = complete()
    clock.advance(timedelta(hours=1))
    assert await shown(http) == "complete"


@pytest.mark.rule("engine-15")
async def test_a_queued_instance_stays_queued_while_its_service_is_away(
    http: Http, nats_client: Client, clock: ManualClock
) -> None:
    await http.post(START, json=BODY)
    await jetstream(nats_client).purge_stream(subjects.workflows_stream("player"))
    clock.advance(timedelta(hours=1))
    assert await shown(http) == "queued"
