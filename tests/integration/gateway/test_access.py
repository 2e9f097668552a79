"""API keys from end to end: made over HTTP, kept by maintenance, known to every gateway."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.routes import players
from services.maintenance.app import define
from services.maintenance.config import MaintenanceSettings
from services.maintenance.keys import recover
from shared.jetstream.connection import connect, jetstream
from shared.messages import subjects
from shared.runtime.config import load
from shared.runtime.embedded.child import free_port
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.service import Service
from tests.integration.gateway.answering import answering
from tests.integration.gateway.test_outages import gateway_process, logged

Http = TestClient[Request, Application]
MakeGateway = Callable[[Client], Awaitable[Http]]
MakeDatabase = Callable[[str], Awaitable[str]]

BOUND_SECONDS = 30.0
PLAYER = f"/api/players/{uuid4()}"
NOBODYS = f"pfk_{'0' * 16}_{'A' * 43}"
READER = {"name": "a game", "scopes": ["players:read", "player:*"]}


class House:
    """Maintenance with its database, and gateways beside it."""

    def __init__(self, settings: MaintenanceSettings, client: Client, http: Http):
        self.settings = settings
        self.client = client
        self.http = http

    @asynccontextmanager
    async def maintenance(self) -> AsyncGenerator[Service]:
        """The service, until the end of the block."""
        service = Service(define(self.settings), self.settings)
        running = asyncio.create_task(service.run())
        async with asyncio.timeout(BOUND_SECONDS):
            while (await self.http.get("/api/keys")).status == 503:
                assert not running.done()
            # Whatever keys there are, the gateway knows that it knows them all.
            while await status_with(self.http, {"key": NOBODYS}) == 503:
                assert not running.done()
        try:
            yield service
        finally:
            service.stop()
            assert await running is None

    async def make(self, **wanted: Any) -> Any:
        async with self.http.post("/api/keys", json={**READER, **wanted}) as answer:
            assert answer.status == 201, await answer.text()
            return await answer.json()

    async def revoke(self, made: Any) -> Any:
        async with self.http.delete(f"/api/keys/{made['apiKey']['id']}") as answer:
            assert answer.status == 200
            return await answer.json()


@pytest.fixture
async def own_client(own_nats: EmbeddedNats) -> AsyncIterator[Client]:
    client = await connect(own_nats.url, "test")
    yield client
    await client.close()


@pytest.fixture
async def house(
    own_nats: EmbeddedNats,
    own_client: Client,
    make_gateway: MakeGateway,
    make_database: MakeDatabase,
) -> House:
    settings = load(
        MaintenanceSettings,
        {
            "NATS_URL": own_nats.url,
            "DATABASE_URL": await make_database("maintenance"),
            "HTTP_PORT": "0",
            "SYSTEM_CRON": "0 0 29 2 *",
        },
    )
    return House(settings, own_client, await make_gateway(own_client))


def sent_with(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status_with(http: Http, made: Any, path: str = PLAYER) -> int:
    async with http.get(path, headers=sent_with(made["key"])) as answer:
        return answer.status


async def until_status(http: Http, made: Any, expected: int) -> float:
    """How long it took until the key was answered so. Each look is a request; bounded."""
    began = monotonic()
    async with asyncio.timeout(BOUND_SECONDS):
        while await status_with(http, made) != expected:
            pass
    return monotonic() - began


@pytest.mark.rule("http-keys", "http-access")
async def test_a_key_lets_in_at_every_gateway_until_it_is_revoked(
    house: House,
    own_client: Client,
    make_gateway: MakeGateway,
    record_property: Callable[[str, object], None],
) -> None:
    other = await make_gateway(own_client)
    async with house.maintenance(), answering(own_client, "player", players.TABLE) as player:
        made = await house.make(ratePerSecond=100_000)
        # At once, also at the gateway that did not make it.
        assert await status_with(other, made) == 200
        assert await status_with(house.http, made) == 200
        actor = f"key:{made['apiKey']['id']}"
        assert {asked.headers[subjects.ACTOR] for asked in player.asked} == {actor}

        revoked = await house.revoke(made)
        seconds = await until_status(other, made, 401)
        await until_status(house.http, made, 401)

    record_property("a revoked key was refused after (s)", round(seconds, 3))
    assert revoked["revokedBy"] == "key:bootstrap"
    assert revoked["revokedAt"] is not None


@pytest.mark.rule("http-keys")
async def test_the_secret_is_shown_once_and_kept_nowhere(house: House) -> None:
    async with house.maintenance():
        made = await house.make()
        assert re.fullmatch(r"pfk_[a-z0-9]{16}_[A-Za-z0-9_-]{43}", made["key"])
        async with house.http.get("/api/keys") as answer:
            listed = await answer.json()
    assert listed["keys"] == [made["apiKey"]]
    assert made["apiKey"]["createdBy"] == "key:bootstrap"
    secret = made["key"].rpartition("_")[2]
    connection = await asyncpg.connect(house.settings.database_url.reveal())
    tables = await connection.fetch("SELECT relid::regclass::text AS name FROM pg_stat_user_tables")
    assert {"api_keys", "outbox"} <= {row["name"].rpartition(".")[2] for row in tables}
    for row in tables:
        found = await connection.fetch(f"SELECT t::text AS line FROM {row['name']} AS t")
        assert not [each for each in found if secret in each["line"]], row["name"]
    await connection.close()
    kept = await jetstream(house.client).stream_info(subjects.API_KEYS_STREAM)
    for sequence in range(1, kept.state.last_seq + 1):
        message = await jetstream(house.client).get_msg(subjects.API_KEYS_STREAM, sequence)
        assert secret.encode() not in (message.data or b"")


@pytest.mark.rule("http-keys")
async def test_a_wrong_secret_of_a_known_id_is_refused(house: House) -> None:
    async with house.maintenance():
        made = await house.make()
        wrong = made["key"][:-5] + ("AAAAA" if not made["key"].endswith("AAAAA") else "BBBBB")
        assert await status_with(house.http, {"key": wrong}, "/api/keys") == 401
        # The right one is known, and may not do this.
        assert await status_with(house.http, made, "/api/keys") == 403


@pytest.mark.rule("http-keys")
async def test_keys_work_while_maintenance_is_away_also_at_a_new_gateway(
    house: House, own_client: Client, make_gateway: MakeGateway
) -> None:
    async with house.maintenance():
        made = await house.make()
        gone = await house.make(name="gone")
        await house.revoke(gone)
    other = await make_gateway(own_client)
    async with answering(own_client, "player", players.TABLE):
        for http in (house.http, other):
            assert await status_with(http, made) == 200
            assert await status_with(http, gone) == 401


async def lose_everything(client: Client) -> None:
    js = jetstream(client)
    for info in await js.streams_info():
        await js.delete_stream(str(info.config.name))


@pytest.mark.rule("http-keys", "engine-25")
async def test_keys_work_again_after_nats_lost_everything_and_maintenance_was_recovered(
    house: House, own_client: Client, make_gateway: MakeGateway
) -> None:
    async with house.maintenance():
        made = await house.make()
        gone = await house.make(name="gone")
        await house.revoke(gone)
        async with answering(own_client, "player", players.TABLE):
            assert await status_with(house.http, made) == 200
            await until_status(house.http, gone, 401)
    await lose_everything(own_client)
    other = await make_gateway(own_client)
    async with answering(own_client, "player", players.TABLE):
        # Who knew the keys still does; who knows none does not say that one is wrong.
        assert await status_with(house.http, made) == 200
        async with other.get(PLAYER, headers=sent_with(made["key"])) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["code"] == "credentials_unavailable"

        assert await recover(house.settings) == 1

        await until_status(other, made, 200)
        assert await status_with(other, gone) == 401
        assert await status_with(house.http, gone) == 401


@pytest.mark.rule("http-keys")
async def test_maintenance_itself_shows_them_again(
    house: House, own_client: Client, make_gateway: MakeGateway
) -> None:
    async with house.maintenance():
        made = await house.make()
        await jetstream(own_client).delete_stream(subjects.API_KEYS_STREAM)
        other = await make_gateway(own_client)
        async with answering(own_client, "player", players.TABLE):
            await until_status(other, made, 200)


@pytest.mark.rule("http-keys")
async def test_an_entry_that_nobody_made_is_taken_away(house: House) -> None:
    async with house.maintenance():
        await house.make()
    subject = subjects.api_key_entry("f" * 16)
    forged = b'{"secretSha256":"' + b"0" * 64 + b'","scopes":["*"]}'
    await jetstream(house.client).publish(subject, forged)
    assert await recover(house.settings) == 1
    assert await recover(house.settings) == 0


@pytest.mark.rule("http-keys", "http-idempotency-key")
async def test_a_repeated_request_makes_no_second_key(house: House) -> None:
    headers = {"Idempotency-Key": "once"}
    async with house.maintenance():
        first = await house.http.post("/api/keys", json=READER, headers=headers)
        again = await house.http.post("/api/keys", json=READER, headers=headers)
        assert (first.status, again.status) == (201, 409)
        assert (await again.json())["code"] == "key_exists"
        async with house.http.get("/api/keys") as answer:
            assert len((await answer.json())["keys"]) == 1


@pytest.mark.rule("http-keys", "http-scopes")
async def test_nobody_makes_a_key_that_may_do_more_than_its_maker(house: House) -> None:
    async with house.maintenance():
        maker = await house.make(scopes=["keys:*", "player:*"])
        headers = sent_with(maker["key"])
        for scopes, expected in (
            (["player:start"], 201),
            (["player:*"], 201),
            (["customer:read"], 403),
            (["player:start", "*"], 403),
        ):
            body = {"name": "more", "scopes": scopes}
            async with house.http.post("/api/keys", json=body, headers=headers) as answer:
                assert answer.status == expected
                assert expected == 201 or (await answer.json())["field"] == "scopes"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["*"]}, "name"),
        ({"name": "", "scopes": ["*"]}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["player"]}, "scopes[0]"),
        ({"name": "a", "scopes": ["*"], "ratePerSecond": 0}, "ratePerSecond"),
        ({"name": "a", "scopes": ["*"], "secret": "mine"}, "secret"),
    ],
)
async def test_a_wrong_wish_for_a_key_names_the_field(
    http: Http, body: dict[str, Any], field: str
) -> None:
    async with http.post("/api/keys", json=body) as answer:
        assert (answer.status, (await answer.json())["field"]) == (422, field)


async def test_a_key_that_there_is_not_cannot_be_revoked(house: House) -> None:
    async with house.maintenance(), house.http.delete(f"/api/keys/{'0' * 16}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "key_not_found")


@pytest.mark.rule("http-secrets")
async def test_no_secret_is_in_the_log_of_a_run(house: House, own_nats: EmbeddedNats) -> None:
    port = free_port()
    environment = {
        "NATS_URL": own_nats.url,
        "HTTP_PORT": str(port),
        "API_KEY": "secret-of-the-environment",
        "LOG_LEVEL": "debug",
    }
    async with house.maintenance():
        made = await house.make()
    async with gateway_process(environment) as process, ClientSession() as session:
        await logged(process, "gateway_started")
        for token in ("secret-of-the-environment", made["key"], f"secret-of-a-guess.{NOBODYS}"):
            async with session.post(
                f"http://127.0.0.1:{port}/api/workflows/player?token=secret-of-a-query",
                headers={
                    "Authorization": f"Bearer {token}",
                    "Cookie": "secret-of-a-cookie",
                    "Idempotency-Key": "secret of a key",
                },
                json={"playerId": "secret-of-a-body"},
            ) as answer:
                assert answer.status in {401, 422}
        process.send_signal(signal.SIGTERM)
        output, errors = await process.communicate()
    text = (output + errors).decode()
    assert text.count("http_request") == 3
    assert "key:bootstrap" in text
    assert "secret" not in text
    assert made["key"].rpartition("_")[2] not in text
