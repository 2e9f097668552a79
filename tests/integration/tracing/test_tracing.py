"""One trace from the caller over gateway, messages and steps to the events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.jetstream.publisher import JetStreamPublisher
from shared.messages import subjects
from shared.testing.tracing import RecordedSpan
from shared.workflow import tracing
from shared.workflow.records import OutboxMessage
from tests.integration.tracing.conftest import API_KEY, System

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
TRACESTATE = "vendor=opaque"
PLAYER = "7b0e6f0a-51d5-4c6e-8d3b-2f6f6a1c9e10"
EMAIL = "ada@example.org"
START = subjects.start("player")
STEPS = ["daily_rewards", "level_progression", "achievements", "stats_update", "cleanup"]


def json(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


async def create_player(system: System) -> None:
    body = {"id": PLAYER, "email": EMAIL, "opening": {"xp": 2500, "level": 4}}
    async with system.http.post("/api/players", json=body) as answer:
        assert answer.status == 201


def names(spans: list[RecordedSpan]) -> set[str]:
    return {span.name for span in spans}


async def test_a_start_over_http_is_one_trace_down_to_its_events(system: System) -> None:
    await create_player(system)
    headers = {"traceparent": TRACEPARENT, "tracestate": TRACESTATE}
    async with system.http.post(
        "/api/workflows/player", json={"id": "one", "playerId": PLAYER}, headers=headers
    ) as answer:
        assert answer.status == 202
    event = await system.event("level_reached")
    await system.stop()

    spans = system.spans
    request = spans.one("POST /api/workflows/{kind}")
    delivery = spans.one("deliver player-starts")
    start = next(each for each in spans.named("publish") if each.attributes["subject"] == START)
    steps = [spans.one(f"step {name}") for name in STEPS]
    assert request.parent_id == SPAN_ID
    assert start.parent_id == request.id
    assert delivery.parent_id == start.id
    assert {step.parent_id for step in steps} == {delivery.id}
    # One or more: a segment that grows old on a busy machine goes on with one commit a step.
    within = {delivery.id, *(step.id for step in steps)}
    assert {span.parent_id for span in spans.named("commit")} <= within
    assert event.headers is not None
    assert event.headers["traceparent"].split("-")[1:3] == [TRACE_ID, steps[1].id]
    assert event.headers["tracestate"] == TRACESTATE
    assert names(spans.of(TRACE_ID)) == names([request, start, delivery, *steps]) | {"commit"}
    assert delivery.attributes == {
        "kind": "player",
        "workflow_id": "one",
        "delivery": 1,
        "outcome": "complete",
    }


@pytest.mark.parametrize("header", ["traceparent", "Traceparent"])
async def test_a_bare_publish_continues_the_trace_that_it_carries(
    system: System, header: str
) -> None:
    await create_player(system)
    await system.wire.publish(START, json(playerId=PLAYER), {header: TRACEPARENT})
    await system.stop()

    assert system.spans.one("deliver player-starts").parent_id == SPAN_ID
    assert system.spans.one("step cleanup").trace_id == TRACE_ID


@pytest.mark.parametrize(
    "malformed",
    [
        "hello",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-01" * 100,
    ],
)
async def test_a_malformed_traceparent_is_ignored(system: System, malformed: str) -> None:
    await create_player(system)
    word = await system.wire.publish(START, json(playerId=PLAYER), {"traceparent": malformed})
    await system.stop()

    assert word == b"+ACK"
    delivery = system.spans.one("deliver player-starts")
    assert delivery.parent_id is None
    assert system.spans.one("step cleanup").parent_id == delivery.id


async def test_a_message_without_a_trace_begins_one(system: System) -> None:
    await create_player(system)
    await system.wire.publish(START, json(playerId=PLAYER))
    await system.stop()
    assert system.spans.one("deliver player-starts").parent_id is None


async def test_a_request_to_a_service_and_what_follows_it_are_one_trace(system: System) -> None:
    await create_player(system)
    async with system.http.post(
        f"/api/players/{PLAYER}/logins", json={}, headers={"traceparent": TRACEPARENT}
    ) as answer:
        assert answer.status == 201
    event = await system.event("player_logged_in")
    await system.event("daily_reward_claimed")
    await system.stop()

    assert {
        "POST /api/players/{playerId}/logins",
        "request commands.player.login",
        "answer login",
        "deliver player-starts",
        "step daily_rewards",
    } <= names(system.spans.of(TRACE_ID))
    assert event.headers is not None
    assert event.headers["traceparent"].split("-")[1] == TRACE_ID


async def test_the_relay_publishes_a_message_in_the_trace_in_which_it_was_written(
    system: System,
) -> None:
    written = {subjects.TRACEPARENT: TRACEPARENT}
    message = OutboxMessage(
        id="late", subject=subjects.event("player", "late"), body=b"{}", headers=written
    )
    await JetStreamPublisher(system.client).publish([message])

    event = await system.event("late")
    assert event.headers is not None
    assert event.headers["traceparent"] == TRACEPARENT
    assert system.spans.one("publish").parent_id == SPAN_ID


async def test_neither_ids_of_persons_nor_secrets_nor_texts_of_errors_are_in_spans(
    system: System,
) -> None:
    await create_player(system)
    stranger = PLAYER.replace("7", "8")
    for method, path, body in (
        ("GET", f"/api/players/{PLAYER}?secret=hunter2", None),
        ("GET", f"/api/players/{stranger}", None),
        ("POST", "/api/players", {"id": PLAYER, "email": EMAIL}),
        ("POST", f"/api/players/{PLAYER}/spend", {"key": "k", "coins": 9000, "reason": EMAIL}),
        ("GET", f"/nowhere/{PLAYER}", None),
    ):
        async with system.http.request(method, path, json=body):
            pass
    await system.wire.publish(START, json(id="known", playerId=PLAYER))
    await system.wire.publish(START, json(id="unknown", playerId=stranger))
    await system.wire.publish(START, json(playerId=EMAIL))
    await system.stop()

    told = "\n".join(span.text for span in system.spans.all)
    assert "step daily_rewards" in told
    assert "error.type" in told
    for kept_back in (PLAYER, stranger, EMAIL, API_KEY, "hunter2"):
        assert kept_back not in told


async def test_health_and_metrics_make_no_span(system: System) -> None:
    before = system.spans.names
    for path in ("/healthz", "/readyz", "/startupz", "/metrics"):
        async with system.http.get(path) as answer:
            assert answer.status == 200
    assert system.spans.names == before
    assert tracing.trace_id() is None
