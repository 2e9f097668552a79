"""The adapters under the users that they have in the one-machine stack, and what a user is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from shared.jetstream import rights, topology
from shared.jetstream.authorization import authorization, quoted
from shared.jetstream.backlog import oldest_at
from shared.jetstream.cache import JetStreamCache, Kept
from shared.jetstream.connection import Unreachable, connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.requests import Requests, RequestServer
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.runtime.embedded.nats import EmbeddedNats
from shared.testing.servers import embedded_nats
from shared.workflow.records import InstanceKey, OutboxMessage

PASSWORD = "a-password"
SERVICES = {"player": ["player"], rights.MAINTENANCE: ["system"]}
USERS = rights.users(SERVICES)
WRONG_REVISION = 7
"""Has the bucket read before it puts."""
KEY = InstanceKey("player", "one")

Connect = Callable[[str], Awaitable[Client]]


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedNats]:
    async with embedded_nats(authorization(USERS, lambda _: quoted(PASSWORD))) as server:
        yield server


@pytest.fixture
async def connected(server: EmbeddedNats) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def connected(user: str) -> Client:
        clients.append(await connect(server.url_as(user, PASSWORD), user))
        return clients[-1]

    yield connected
    for client in clients:
        await client.close()


def message(subject: str) -> OutboxMessage:
    return OutboxMessage(id="one", subject=subject, body=b"{}")


@pytest.mark.parametrize("user", ["player", rights.OPERATOR])
async def test_streams_consumers_events_and_statuses_are_made_under_the_user(
    connected: Connect, user: str
) -> None:
    client = await connected(user)
    js, bucket = jetstream(client), JetStreamStatusBucket(client)

    await topology.ensure(js, "player", ["player"])
    await topology.ensure(js, "player", ["player"], ack_wait_seconds=5)
    await JetStreamPublisher(client).publish(
        [message(subjects.event("player", "told")), message(subjects.wake("player"))]
    )
    await bucket.put(KEY, b'{"version": 1}', (0, 1, 0), WRONG_REVISION)

    assert (await js.stream_info(subjects.EVENTS_STREAM)).state.messages == 1
    assert (await js.stream_info("WORKFLOWS_PLAYER")).state.messages == 1


async def test_the_gateway_has_what_a_start_takes(connected: Connect) -> None:
    client = await connected(rights.GATEWAY)
    bucket = JetStreamStatusBucket(client)
    await topology.ensure_streams(jetstream(client), "player", ["player"])

    await JetStreamPublisher(client).publish([message(subjects.start("player"))])

    await bucket.check()
    assert await bucket.get(KEY) is None
    assert await oldest_at(client, "WORKFLOWS_PLAYER") is not None


async def test_the_gateway_fills_the_caches_and_maintenance_empties_them(
    connected: Connect,
) -> None:
    gateway = JetStreamCache(await connected(rights.GATEWAY))
    maintenance = JetStreamCache(await connected(rights.MAINTENANCE))
    first = await gateway.generation("plans")
    await gateway.put("plans", first, "one", b"value", ttl_seconds=60)
    assert await gateway.get("plans", first, "one") == b"value"

    second = await maintenance.invalidate("plans")

    assert await maintenance.survey() == [Kept("plans", first, 1)]
    await maintenance.remove("plans", first)
    assert await maintenance.survey() == []
    assert await gateway.generation("plans") == await maintenance.current("plans") == second
    assert await gateway.invalidate("plans") != second


@pytest.mark.parametrize("asker", [rights.GATEWAY, rights.PUBLISHER, rights.OPERATOR])
async def test_a_service_answers_those_who_may_ask(connected: Connect, asker: str) -> None:
    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        return body

    subject = subjects.instance_query("player")
    service = RequestServer(await connected("player"), "player", {subject: answer})
    await service.start()

    assert await Requests(await connected(asker)).send(subject, b"hello") == b"hello"
    await service.stop()


async def test_a_publisher_hears_what_became_of_its_facts(connected: Connect) -> None:
    service, publisher = await connected("player"), await connected(rights.PUBLISHER)
    await topology.ensure(jetstream(service), "player", ["player"])
    events = await publisher.subscribe(subjects.event("player", "*"))
    # Answered, so the subscription before it is made.
    stored = await jetstream(publisher).publish(subjects.ingest("player", "login"), b"{}")

    await JetStreamPublisher(service).publish([message(subjects.event("player", "told"))])

    assert stored.stream == subjects.INGEST_STREAM
    assert (await events.next_msg()).subject == "events.player.told"


async def test_a_services_consumer_of_facts_takes_no_others(connected: Connect) -> None:
    client = await connected("player")
    await topology.ensure_streams(jetstream(client), "player", ["player"])
    greedy = {"name": "player-ingest", "filter_subject": "ingest.>"}

    # As if its own facts were meant: with another filter in its subject it would be denied.
    reply = await client.request(
        "$JS.API.CONSUMER.CREATE.INGEST.player-ingest.ingest.player.>",
        msgspec.json.encode({"stream_name": "INGEST", "config": greedy}),
    )

    assert b"did not match filtered subject" in reply.data


async def test_a_denied_publish_is_told_in_the_log(connected: Connect) -> None:
    client = await connected(rights.PUBLISHER)

    with capture_logs() as logs, pytest.raises(TimeoutError):
        await jetstream(client).publish(subjects.control("player"), b"{}", timeout=0.5)

    [denial] = logs
    assert (denial["event"], denial["log_level"]) == ("nats_denied", "error")
    assert 'publish to "workflows.player.control"' in denial["error"]


async def test_a_wrong_password_is_told_and_not_shown(server: EmbeddedNats) -> None:
    with capture_logs() as logs, pytest.raises(Unreachable) as unreachable:
        await connect(server.url_as("player", "hunter2"), "player", first_attempts_seconds=0.5)

    assert "refuses the user or its password" in str(unreachable.value)
    assert "hunter2" not in f"{unreachable.value} {logs}"
