"""Each problem that the description tells of an address is reached there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.gateway.app import FORWARDED
from services.gateway.routes.operations import Operation, Parameter
from shared.jetstream.connection import connect
from shared.messages.base import MAX_CONTENT_BYTES, encode
from shared.messages.contract import SERVICES
from shared.postgres import statements
from shared.runtime.embedded.nats import EmbeddedNats
from tests.integration.gateway.calling import (
    ABSENT,
    API,
    DOCUMENT,
    DOCUMENTED,
    Caller,
    Reached,
    address,
    body,
)
from tests.integration.gateway.conftest import MakeGateway
from tests.integration.gateway.houses import Http, house
from tests.integration.gateway.refusals import absent, bill, bury, play, upkeep

OTHER = {"integer": 8, "string": "other"}
MakeDatabase = Callable[[str], Awaitable[str]]
BOUND_SECONDS = 20.0


def generic(one: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that are wrong in a way that depends on no state, with what each is to reach."""
    raw = {"Content-Type": "application/json"}
    yield "unauthorized", {"headers": {"Authorization": ""}}
    yield "malformed_json", {"data": b"{", "headers": raw}
    yield "unsupported_media_type", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}
    yield (
        "request_entity_too_large",
        {"data": BytesIO(b" " * (MAX_CONTENT_BYTES + 1)), "headers": raw},
    )
    yield "invalid_idempotency_key", {"json": body(one), "headers": {"Idempotency-Key": "a b"}}
    if one.body is bytes:
        yield "invalid_message", {"path": address(one, provider="NO")}
        yield "too_large", {"data": BytesIO(b"x" * (MAX_CONTENT_BYTES - 1))}
    else:
        yield "invalid_message", {"json": []}
    own = [each for each in one.parameters if each.name not in {"service", "kind"}]
    if own:
        wrong = {"path": "!", "query": "\x00"}[own[0].place]
        yield "invalid_parameter", {"path": address(one, **{own[0].name: wrong})}
        yield "contradiction", {"json": {own[0].name: other(one, own[0])}}
        yield "invalid_workflow_id", {"path": address(one, id="-")}
        yield "workflow_id_required", {"path": address(one, id="")}
    yield "unknown_service", {"path": address(one, service="nobody")}
    yield "unknown_kind", {"path": address(one, kind="nobody")}
    yield "invalid_batch", {"json": {"instances": []}}
    # Nothing of what the example names is there.
    yield "_not_found", {"json": body(one)}


def other(one: Operation, parameter: Parameter) -> Any:
    """Another value than an address has."""
    described = DOCUMENT["paths"][one.path][one.method.lower()]["parameters"]
    [schema] = [each["schema"] for each in described if each["name"] == parameter.name]
    if "enum" in schema:
        return next(each for each in schema["enum"] if each != ABSENT[parameter.name])
    return str(uuid4()) if schema.get("format") == "uuid" else OTHER.get(schema["type"])


async def sweep(reached: Reached, http: Http) -> None:
    """Every address with every wrong request that it can be sent."""
    for one in API:
        for expected, request in generic(one):
            if expected in one.codes or expected == "_not_found":
                await reached.call(http, one, **request)


async def without_services(reached: Reached, http: Http) -> None:
    """Every address that asks a service, while none runs."""
    for one in API:
        if "service_unavailable" in one.codes:
            assert await reached.call(http, one, json=body(one)) == "service_unavailable", one.path


async def without_nats(reached: Reached, http: Http) -> None:
    """What the gateway does by itself, while NATS is away."""

    async def one_call(one: Operation) -> None:
        code = await reached.call(http, one, json=body(one))
        assert code in {"unavailable", "start_not_confirmed"}, (one.path, code)

    own = [each for each in API if each.path.startswith("/api/workflows")]
    await asyncio.gather(*map(one_call, own))


async def keys_reused(reached: Reached, http: Http, databases: dict[str, str]) -> None:
    """A key that another body came with before."""
    headers = {"Idempotency-Key": "used"}
    for url in databases.values():
        pool = await asyncpg.connect(url)
        names = {
            each.subject.rpartition(".")[2] for each in FORWARDED if "commands." in each.subject
        } | {f"{each}_schedule" for each in ("pause", "resume", "trigger")}
        for name in names:
            await pool.execute(statements.KEEP_RESULT, name, "used", b"of another body", b"{}")
        await pool.close()
    for one in API:
        if "idempotency_key_reused" in one.codes:
            given = body(one)
            if one.route == "/api/workflows/{kind}":
                await reached.call(http, one, json={**given, "id": "twice"}, headers=headers)
                given = {**given, "id": "twice", "triggerTime": "2026-03-01T08:00:00Z"}
            code = await reached.call(http, one, json=given, headers=headers)
            assert code == "idempotency_key_reused", (one.path, code)


async def instances(reached: Reached, http: Http) -> None:
    """What depends on an instance: one that waits, one that ended, two of one id."""
    player = {"playerId": str(uuid4())}
    later = "2100-01-01T00:00:00Z"
    await http.post("/api/workflows/player", json={**player, "id": "held", "startAt": later})
    await http.post("/api/workflows/player", json={**player, "id": "ended"})
    for kind in ("player", "system"):
        start = {**player, "id": "twins", "startAt": later}
        await http.post(f"/api/workflows/{kind}", json=start)
    async with asyncio.timeout(BOUND_SECONDS):
        while (await (await http.get("/api/workflows/ended")).json())["status"] != "errored":
            pass
    renewal = {"subscriptionId": str(uuid4()), "periodStart": later, "startAt": later}
    await http.post("/api/workflows/renewal", json={**renewal, "id": "renews"})
    keyed = {"Idempotency-Key": "a b"}
    for one in API:
        if "kind_required" not in one.codes:
            continue

        async def refused(code: str, *, one: Operation = one, **request: Any) -> None:
            given = {"json": {}, **request}
            got = await reached.call(http, one, path=address(one, **given.pop("parts")), **given)
            assert got == code, (one.method, one.path, request, got)

        await refused("kind_required", parts={"id": "twins"})
        if one.method == "GET":
            continue
        if "unknown_signal" in one.codes:
            await refused("workflow_ended", parts={"id": "ended"})
            await refused("invalid_signal_type", parts={"id": "held", "type": "a.b"})
            await refused("unknown_signal", parts={"id": "held"})
            changed = {"id": "renews", "type": "renewal_changed"}
            await refused("invalid_idempotency_key", parts=changed, headers=keyed)
            continue
        # A key that is refused, so that the instance that they are tried on stays as it is.
        await refused("invalid_idempotency_key", parts={"id": "held"}, headers=keyed)
        if "workflow_ended" in one.codes:
            await refused("workflow_ended", parts={"id": "ended"})
        else:
            nowhere = {"fromStep": "none"}
            await refused("unknown_step", parts={"id": "held"}, json=nowhere)


async def starts(reached: Reached, http: Http) -> None:
    """An id that is taken, and an input that is too large once its id is in it."""
    headers = {"Content-Type": "application/json"}
    for one in API:
        if "workflow_exists" in one.codes:
            trigger = {**body(one), "id": "taken", "startAt": "2100-01-01T00:00:00Z"}
            for _ in range(2):
                await reached.call(http, one, json=trigger)
            del trigger["id"]
            room = MAX_CONTENT_BYTES - len(encode({**trigger, "note": ""}))
            data = BytesIO(encode({**trigger, "note": "x" * room}))
            await reached.call(http, one, data=data, headers=headers)


@pytest.fixture
def reached() -> Reached:
    return Reached()


async def test_every_documented_problem_is_reached(
    reached: Reached,
    nats_url: str,
    make_database: MakeDatabase,
    own_nats: EmbeddedNats,
    make_gateway: MakeGateway,
) -> None:
    databases = {name: await make_database(name) for name in SERVICES}
    async with house(nats_url, databases) as http:
        await sweep(reached, http)
        await instances(reached, http)
        await starts(reached, http)
        await play(Caller(reached, http))
        await bill(Caller(reached, http), databases["billing"])
        await upkeep(Caller(reached, http), nats_url)
        await absent(Caller(reached, http), databases)
        await bury(Caller(reached, http), nats_url, databases["player"])
        await keys_reused(reached, http, databases)
    client = await connect(own_nats.url, "gateway")
    alone = await make_gateway(client)
    await without_services(reached, alone)
    await own_nats.stop()
    await without_nats(reached, alone)
    await own_nats.start()
    await client.close()
    assert reached.pairs == DOCUMENTED
