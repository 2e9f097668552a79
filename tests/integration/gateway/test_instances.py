"""The list over all services, and the timeline, as the gateway shows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from shared.jetstream.requests import RequestServer
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.instances import (
    Instances,
    InstancesQuery,
    InstanceSummary,
    Timeline,
    TimelineQuery,
)
from shared.messages.problems import Refused
from shared.messages.workflows import Status

Http = TestClient[Request, Application]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
START = "/api/workflows/player"
BODY = {"playerId": "8a5f0b4e-50d5-4c6b-9a38-0d8b3cf1d1a5", "id": "one"}


def summary(workflow_id: str, kind: str, seconds: int) -> InstanceSummary:
    return InstanceSummary(
        workflow_id=workflow_id,
        kind=kind,
        status=Status.COMPLETE,
        created_at=NOON + timedelta(seconds=seconds),
        updated_at=NOON,
        started_at=NOON,
        finished_at=NOON,
        wake_at=None,
        error=None,
        rollback=None,
    )


@asynccontextmanager
async def having(
    client: Client, service: str, *has: InstanceSummary
) -> AsyncGenerator[list[InstancesQuery]]:
    """A service with these instances; what it was asked."""
    asked: list[InstancesQuery] = []

    async def instances(body: bytes, _: Mapping[str, str]) -> bytes:
        query = msgspec.json.decode(body, type=InstancesQuery)
        asked.append(query)
        after = query.after
        found = [
            each
            for each in sorted(has, key=lambda each: each.rank, reverse=True)
            if after is None or each.rank < (after.created_at, after.id, after.kind)
        ]
        kept = found[: query.limit]
        more = len(found) > len(kept)
        return encode(Instances(instances=tuple(kept), next=kept[-1].position if more else None))

    async def timeline(body: bytes, _: Mapping[str, str]) -> bytes:
        query = msgspec.json.decode(body, type=TimelineQuery)
        if query.id == "one":
            raise Refused("workflow_not_found", "no such instance", status=404)
        return encode(
            Timeline(
                workflow_id=query.id,
                kind=query.kind,
                status=Status.RUNNING,
                run=query.run or 1,
                actor="api",
                created_at=NOON,
                finished_at=None,
                entries=(),
            )
        )

    answers = {
        subjects.query(service, "instances"): instances,
        subjects.query(service, "timeline"): timeline,
    }
    server = RequestServer(client, service, answers)
    await server.start()
    yield asked
    await server.stop()


async def get(http: Http, path: str, expected: int = 200) -> dict[str, Any]:
    async with http.get(path) as answer:
        body: dict[str, Any] = await answer.json()
        assert answer.status == expected, body
        return body


@pytest.mark.rule("http-lists")
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_the_pages_of_all_services_are_one_list_newest_first(
    http: Http, nats_client: Client, limit: int
) -> None:
    of_player = [summary(f"p{n}", "player", n // 2) for n in range(5)]
    of_billing = [summary("p4", "renewal", 2), summary("c", "customer", 1)]
    everything = sorted((*of_player, *of_billing), key=lambda each: each.rank, reverse=True)
    seen: list[tuple[str, str]] = []
    async with (
        having(nats_client, "player", *of_player),
        having(nats_client, "billing", *of_billing),
        having(nats_client, "maintenance"),
    ):
        path = f"/api/workflows?limit={limit}"
        page = await get(http, path)
        while True:
            assert 1 <= len(page["workflows"]) <= limit
            seen += [(each["workflowId"], each["kind"]) for each in page["workflows"]]
            if page["nextCursor"] is None:
                break
            page = await get(http, f"{path}&cursor={page['nextCursor']}")
    assert seen == [(each.workflow_id, each.kind) for each in everything]


@pytest.mark.rule("http-lists")
async def test_only_the_services_of_the_kinds_are_asked_and_told_what_is_wanted(
    http: Http, nats_client: Client
) -> None:
    async with having(nats_client, "billing") as asked:
        body = await get(
            http,
            "/api/workflows?kind=renewal&kind=customer&status=errored&status=paused"
            "&since=2026-03-01T00:00:00Z&limit=100",
        )
    assert body == {"workflows": [], "nextCursor": None}
    [query] = asked
    assert query == InstancesQuery(
        kinds=("renewal", "customer"),
        statuses=("errored", "paused"),
        since=datetime(2026, 3, 1, tzinfo=UTC),
        limit=100,
    )


@pytest.mark.rule("http-lists")
async def test_a_service_that_does_not_answer_is_named_and_no_page_has_a_gap(
    http: Http, nats_client: Client
) -> None:
    async with (
        having(nats_client, "player", summary("p", "player", 0)),
        having(nats_client, "maintenance"),
    ):
        body = await get(http, "/api/workflows", 503)
        assert body["code"] == "service_unavailable"
        assert "billing" in body["detail"]
        page = await get(http, "/api/workflows?kind=player&kind=system")
    assert [each["workflowId"] for each in page["workflows"]] == ["p"]


@pytest.mark.rule("http-lists")
@pytest.mark.parametrize(
    ("query", "expected", "field"),
    [
        ("kind=absent", 404, None),
        ("status=queued", 422, "status"),
        ("status=none", 422, "status"),
        ("since=yesterday", 422, "since"),
        ("since=2026-03-01T00:00:00", 422, "since"),
        ("limit=0", 422, "limit"),
        ("limit=101", 422, "limit"),
        ("cursor=x", 422, "cursor"),
        ("cursor=%00", 422, "cursor"),
        ("cursor=e30", 422, "cursor"),
    ],
)
async def test_a_list_that_cannot_be_names_the_parameter(
    http: Http, query: str, expected: int, field: str | None
) -> None:
    problem = await get(http, f"/api/workflows?{query}", expected)
    assert problem.get("field") == field


@pytest.mark.rule("http-timeline")
async def test_a_timeline_is_its_services_or_empty_while_nobody_has_taken_the_start(
    http: Http, nats_client: Client
) -> None:
    await asyncio.gather(*(http.post(START, json={**BODY, "id": each}) for each in ("one", "two")))
    async with having(nats_client, "player"):
        queued = await get(http, "/api/workflows/one/timeline")
        taken = await get(http, "/api/workflows/two/timeline?run=3")
    assert (queued["status"], queued["entries"], queued["actor"]) == ("queued", [], "api")
    assert (taken["status"], taken["run"]) == ("running", 3)


@pytest.mark.rule("http-timeline")
@pytest.mark.parametrize(
    ("path", "expected", "field"),
    [
        ("absent/timeline", 404, None),
        ("one/timeline?run=0", 422, "run"),
        ("-/timeline", 400, "id"),
        ("one/timeline", 503, None),
    ],
)
async def test_a_timeline_that_cannot_be_read_says_why(
    http: Http, path: str, expected: int, field: str | None
) -> None:
    await http.post(START, json=BODY)
    problem = await get(http, f"/api/workflows/{path}", expected)
    assert problem.get("field") == field
