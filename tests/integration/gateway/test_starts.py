"""Starting workflows over HTTP (engine rule 15)."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.app import ensure
from shared.jetstream.connection import jetstream
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Status
from shared.testing.clocks import ManualClock
from shared.workflow.records import InstanceKey

Http = TestClient[Request, Application]

START = "/api/workflows/player"
PLAYER = str(uuid4())


async def post(http: Http, body: object, key: str | None = None, path: str = START) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    async with http.post(path, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def stored_starts(client: Client) -> int:
    """How many commands wait in the stream."""
    info = await jetstream(client).stream_info(subjects.workflows_stream("player"))
    return info.state.messages


@pytest.mark.rule("engine-15", "http-start")
async def test_a_start_is_accepted_once_the_stream_holds_it_and_then_it_can_be_read(
    http: Http, nats_client: Client, clock: ManualClock
) -> None:
    async with http.post(START, json={"playerId": PLAYER}) as answer:
        assert answer.status == 202
        workflow_id = (await answer.json())["workflowId"]
        location = answer.headers["Location"]
    async with http.get(location) as answer:
        assert answer.status == 200
        status = await answer.json()
    assert (status["workflowId"], status["kind"], status["status"]) == (
        workflow_id,
        "player",
        "queued",
    )
    message = await jetstream(nats_client).get_msg(subjects.workflows_stream("player"), seq=1)
    assert msgspec.json.decode(message.data or b"") == {"id": workflow_id, "playerId": PLAYER}
    headers = cast("dict[str, str]", message.headers)
    assert headers[subjects.WORKFLOW_ID] == workflow_id
    assert headers[subjects.ACTOR] == "key:bootstrap"
    assert headers[subjects.CREATED_AT] == clock.now().isoformat()
    revision = headers[subjects.STATUS_REVISION]
    assert headers[subjects.MESSAGE_ID] == f"player.{workflow_id}.{revision}"


async def test_a_start_passes_fields_on_that_only_a_newer_service_knows(
    http: Http, nats_client: Client
) -> None:
    await post(http, {"playerId": PLAYER, "invented": [1]})
    message = await jetstream(nats_client).get_msg(subjects.workflows_stream("player"), seq=1)
    assert msgspec.json.decode(message.data or b"")["invented"] == [1]


@pytest.mark.rule("engine-15", "http-same-id")
async def test_the_same_id_again_is_refused_and_the_first_instance_is_unchanged(
    http: Http, nats_client: Client
) -> None:
    assert (await post(http, {"playerId": PLAYER, "id": "one"}))[0] == 202
    before = await JetStreamStatusBucket(nats_client).get(InstanceKey("player", "one"))
    status, problem = await post(http, {"playerId": str(uuid4()), "id": "one"})
    assert status == 409
    assert (problem["code"], problem["workflowId"]) == ("workflow_exists", "one")
    assert await JetStreamStatusBucket(nats_client).get(InstanceKey("player", "one")) == before
    assert await stored_starts(nats_client) == 1


@pytest.mark.rule("engine-15", "http-same-id")
async def test_of_fifty_concurrent_starts_of_one_id_one_is_accepted(
    http: Http, nats_client: Client
) -> None:
    body = {"playerId": PLAYER, "id": "contended"}
    answers = await asyncio.gather(*(post(http, body) for _ in range(50)))
    statuses = sorted(status for status, _ in answers)
    assert statuses == [202] + [409] * 49
    assert await stored_starts(nats_client) == 1


@pytest.mark.rule("engine-15", "http-idempotency-key")
async def test_the_same_idempotency_key_and_body_gets_the_first_answer_again(
    http: Http, nats_client: Client
) -> None:
    first = await post(http, {"playerId": PLAYER}, key="order-1")
    again = await post(http, {"playerId": PLAYER}, key="order-1")
    assert first == again
    assert first[0] == 202
    assert await stored_starts(nats_client) == 1


@pytest.mark.rule("engine-15", "http-idempotency-key")
async def test_the_order_of_the_fields_makes_no_other_body(http: Http) -> None:
    first = await post(http, {"playerId": PLAYER, "id": "a"}, key="k")
    assert await post(http, {"id": "a", "playerId": PLAYER}, key="k") == first


@pytest.mark.rule("engine-15", "http-idempotency-key")
@pytest.mark.parametrize("workflow_id", [None, "named"])
async def test_the_same_idempotency_key_with_another_body_is_refused(
    http: Http, workflow_id: str | None
) -> None:
    named = {} if workflow_id is None else {"id": workflow_id}
    await post(http, {"playerId": PLAYER, **named}, key="order-1")
    status, problem = await post(http, {"playerId": str(uuid4()), **named}, key="order-1")
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


@pytest.mark.rule("engine-15", "http-idempotency-key")
async def test_another_idempotency_key_for_a_taken_id_is_refused_as_existing(http: Http) -> None:
    await post(http, {"playerId": PLAYER, "id": "one"}, key="first")
    assert (await post(http, {"playerId": PLAYER, "id": "one"}, key="second"))[0] == 409


@pytest.mark.rule("engine-15")
@pytest.mark.parametrize(("key", "expected"), [("order-1", 202), (None, 409)])
async def test_a_repeated_start_puts_the_command_that_its_first_attempt_lost(
    http: Http, nats_client: Client, key: str | None, expected: int
) -> None:
    body = {"playerId": PLAYER, "id": "lost"}
    await post(http, body, key=key)
    # As if the gateway had been killed between key and message, longer ago than the stream
    # remembers message ids.
    await jetstream(nats_client).delete_stream(subjects.workflows_stream("player"))
    await ensure(nats_client)
    assert (await post(http, body, key=key))[0] == expected
    assert await stored_starts(nats_client) == 1


@pytest.mark.rule("engine-15")
async def test_a_start_refused_as_existing_is_not_published_once_its_service_has_taken_it(
    http: Http, nats_client: Client
) -> None:
    body = {"playerId": PLAYER, "id": "taken"}
    await post(http, body)
    await complete(nats_client, "taken")
    await jetstream(nats_client).purge_stream(subjects.workflows_stream("player"))
    assert (await post(http, body))[0] == 409
    assert await stored_starts(nats_client) == 0


@pytest.mark.rule("engine-15", "http-idempotency-key")
async def test_a_start_is_replayed_also_after_its_instance_has_ended(
    http: Http, nats_client: Client
) -> None:
    first = await post(http, {"playerId": PLAYER}, key="order-1")
    await complete(nats_client, first[1]["workflowId"])
    assert await post(http, {"playerId": PLAYER}, key="order-1") == first


async def complete(client: Client, workflow_id: str) -> None:
    """What the player service does when an instance has ended."""
    bucket = JetStreamStatusBucket(client)
    key = InstanceKey("player", workflow_id)
    stored = await bucket.get(key)
    assert stored is not None
    document = msgspec.structs.replace(stored.document, status=Status.COMPLETE, version=3)
    await bucket.put(key, encode(document), document.order, None)


@pytest.mark.rule("http-batch")
async def test_a_batch_starts_what_is_new_and_names_what_existed(
    http: Http, nats_client: Client
) -> None:
    await post(http, {"playerId": PLAYER, "id": "old"})
    batch = {"instances": [{"playerId": PLAYER, "id": each} for each in ("a", "old", "b")]}
    status, answer = await post(http, batch, path=f"{START}/batch")
    assert (status, answer) == (202, {"workflowIds": ["a", "b"], "skipped": ["old"]})
    assert await stored_starts(nats_client) == 3


@pytest.mark.rule("http-batch")
async def test_a_batch_takes_a_hundred_and_repeats_under_its_idempotency_key(http: Http) -> None:
    batch = {"instances": [{"playerId": PLAYER}] * 100}
    first = await post(http, batch, key="batch-1", path=f"{START}/batch")
    assert first[0] == 202
    assert len(set(first[1]["workflowIds"])) == 100
    assert await post(http, batch, key="batch-1", path=f"{START}/batch") == first


@pytest.mark.rule("http-batch")
@pytest.mark.parametrize(
    ("instances", "field"),
    [
        ([], "instances"),
        ([{"playerId": PLAYER}] * 101, "instances"),
        ([{"playerId": PLAYER}, {}], "instances[1].playerId"),
        ([{"playerId": PLAYER}, 7], "instances[1]"),
        ([{"playerId": PLAYER, "id": "x"}] * 2, "instances[1].id"),
        ("many", "instances"),
    ],
)
async def test_of_an_invalid_batch_nothing_is_started_and_the_fault_is_named(
    http: Http, nats_client: Client, instances: object, field: str
) -> None:
    status, problem = await post(http, {"instances": instances}, path=f"{START}/batch")
    assert (status, problem["field"]) == (422, field)
    assert await stored_starts(nats_client) == 0
    bucket = await jetstream(nats_client).stream_info(subjects.STATUS_STREAM)
    assert bucket.state.messages == 0


@pytest.mark.rule("http-batch")
async def test_a_batch_names_every_fault(http: Http) -> None:
    batch = {"instances": [{"playerId": 1}, {"playerId": PLAYER}, {}]}
    _, problem = await post(http, batch, path=f"{START}/batch")
    assert "instances[0].playerId" in problem["detail"]
    assert "instances[2].playerId" in problem["detail"]
