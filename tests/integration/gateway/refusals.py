"""What services refuse, each once: calls that leave every documented refusal behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID, uuid4

import asyncpg

from shared.jetstream.connection import connect
from shared.jetstream.objects import JetStreamObjects
from shared.messages import subjects
from tests.integration.gateway.calling import Caller

BOUND_SECONDS = 20.0
PLAYER = "/api/players/{playerId}"
SUBSCRIPTION = "/api/subscriptions/{subscriptionId}"
LETTER = "/api/dead-letters/{service}/{id}"
POISONED = """
    INSERT INTO dead_letters (origin, subject, headers, body, reason, detail, occurred_at)
    VALUES ('test', $1, '{}', $2, 'poisoned', 'test', now()) RETURNING id
"""
CUSTOMER = "/api/customers/{customerId}"
EXPORT = "/api/workflows/person_export"
INVOICE = "/api/invoices/{invoiceId}"


async def play(call: Caller) -> None:
    """What players, their sessions and the catalogue refuse."""
    here, there, away = (str(uuid4()) for _ in range(3))
    for player in (here, there, away, here):
        await call("POST", "/api/players", {"id": player})
    await call("POST", "/api/players", {"timezone": "Mars"})
    await call("PATCH", PLAYER, {"timezone": "Mars"}, playerId=here)
    await call("PATCH", PLAYER, {"isActive": False}, playerId=away)
    activity = {"event": "create_npc", "sourceId": "one"}
    for player in (here, away):
        await call("POST", f"{PLAYER}/logins", {}, playerId=player)
        await call("POST", f"{PLAYER}/activities", activity, playerId=player)
    message = {"messageId": str(uuid4()), "text": "hello"}
    for player in (here, there, away):
        await call("POST", f"{PLAYER}/messages", message, playerId=player)
    gift = {"key": "gift", "reason": "test"}
    for number in (5, 6):
        await call("POST", f"{PLAYER}/grants", {**gift, "coins": number}, playerId=here)
        await call("POST", f"{PLAYER}/revocations", {**gift, "xp": number}, playerId=here)
    for coins in (0, 1, 2):
        await call("POST", f"{PLAYER}/spend", {"key": "k", "coins": coins}, playerId=here)
    await call("POST", f"{PLAYER}/spend", {"key": "other", "coins": 10**6}, playerId=here)
    await call("POST", f"{PLAYER}/spend", {"key": "k", "coins": 1}, playerId=away)
    await call("POST", f"{PLAYER}/revocations", gift, playerId=here)
    session = {"sessionId": str(uuid4())}
    times = {"startedAt": "2026-03-02T12:00:00Z", "endedAt": "2026-03-02T11:00:00Z"}
    for wrong in (
        {"playerId": here},
        {"playerId": there},
        {"playerId": away},
        {"playerId": str(uuid4())},
        {"correct": 2, "answered": 1},
        times,
    ):
        await call("POST", "/api/sessions", {**session, **wrong})
        await call("PATCH", "/api/sessions/{sessionId}", wrong, **session)
    precise = {"id": "sharp", "name": "Sharp", "type": "accuracy"}
    for threshold in (100, 100, 101):
        await call("POST", "/api/achievements", {**precise, "threshold": threshold})


async def bill(call: Caller, database_url: str) -> None:
    """What customers, plans, subscriptions, invoices and use refuse."""
    poor, rich = str(uuid4()), str(uuid4())
    card = {"paymentMethod": "pm_card_visa"}
    for customer in ({"id": poor}, {"id": poor}, {"id": rich, **card}, {"timezone": "Mars"}):
        await call("POST", "/api/customers", {"currency": "EUR", **customer})
    await call("POST", "/api/customers", {"currency": "ZZZ"})
    await call("PATCH", "/api/customers/{customerId}", {"timezone": "Mars"}, customerId=poor)
    await plans(call)
    trial = {"customerId": poor, "planId": "basic", "trialDays": 10, "id": str(uuid4())}
    for wrong in (
        {},
        {},
        {"customerId": str(uuid4())},
        {"planId": "none"},
        {"planId": "old"},
        {"planId": "dollars"},
        {"trialDays": 0, "id": str(uuid4())},
    ):
        await call("POST", "/api/subscriptions", {**trial, **wrong})
    await call("DELETE", "/api/plans/{planId}", planId="basic")
    subscription = {"subscriptionId": trial["id"]}
    for name in ("none", "old", "dollars"):
        await call("PUT", f"{SUBSCRIPTION}/plan", {"planId": name}, **subscription)
    await call("POST", f"{SUBSCRIPTION}/cancel", {}, **subscription)
    await call("POST", f"{SUBSCRIPTION}/uncancel", **subscription)
    await call("PUT", f"{SUBSCRIPTION}/plan", {"planId": "basic"}, **subscription)
    use = {"eventId": "one", "metric": "api_calls", "quantity": 1}
    for user in (poor, rich, str(uuid4())):
        await call("POST", "/api/usage", {**use, "customerId": user})
    await call("POST", "/api/subscriptions", {"customerId": rich, "planId": "basic"})
    await invoices(call, rich, database_url)
    await call("POST", "/api/webhooks/{provider}", {}, provider="sandbox")


async def plans(call: Caller) -> None:
    """What a plan may not be, and three that there are."""
    plan = {"id": "basic", "name": "Basic", "currency": "EUR", "interval": "month"}
    for wrong in (
        {"price": "9.99"},
        {"price": "9.99"},
        {"price": "9.99", "id": "old"},
        {"price": "9.99", "id": "dollars", "currency": "USD"},
        {},
        {"priceMinor": 0},
        {"priceMinor": 10**15 + 1},
        {"price": "9.999"},
        {"price": "9.99", "currency": "ZZZ"},
    ):
        await call("POST", "/api/plans", {**plan, **wrong})
    await call("PATCH", "/api/plans/{planId}", {"active": False}, planId="old")


async def invoices(call: Caller, customer: str, database_url: str) -> None:
    """What a paid invoice refuses, and one that went back and is disputed."""
    path = f"/api/customers/{customer}/invoices"
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            found = (await (await call.http.get(path)).json())["invoices"]
            if found and found[0]["state"] == "paid":
                break
    invoice = {"invoiceId": found[0]["id"]}
    await call("POST", f"{INVOICE}/pay", {}, **invoice)
    await call("POST", f"{INVOICE}/resolve", {"resolution": "won"}, **invoice)
    await call("POST", f"{INVOICE}/refund", **invoice)
    async with asyncio.timeout(BOUND_SECONDS):
        while await call("POST", f"{INVOICE}/refund", **invoice) is None:
            pass
    connection = await asyncpg.connect(database_url)
    # As a chargeback leaves it that came while its money went back.
    await connection.execute("UPDATE invoices SET disputed = true")
    await connection.close()
    await call("POST", f"{INVOICE}/resolve", {"resolution": "charge"}, **invoice)


async def bury(call: Caller, nats_url: str, database_url: str) -> None:
    """What a dead letter refuses."""
    client = await connect(nats_url, "test")
    await client.publish(subjects.ingest("player", "message"), b"{")
    await client.flush()
    await client.close()
    path = "/api/dead-letters?service=player"
    async with asyncio.timeout(BOUND_SECONDS):
        while not (found := (await (await call.http.get(path)).json())["deadLetters"]):
            pass
    letter = {"id": found[0]["id"], "service": "player"}
    for action in ("discard", "discard", "replay"):
        await call("POST", f"{LETTER}/{action}", **letter)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE workflow_instances SET retired_at = now() WHERE id = 'twins'")
    poisoned = await connection.fetchval(POISONED, subjects.wake("player"), b'{"id": "twins"}')
    await connection.close()
    await call("POST", f"{LETTER}/replay", id=poisoned, service="player")


async def upkeep(call: Caller, nats_url: str) -> None:
    """What analytics, retention and exports refuse."""
    span = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-01T00:00:00Z", "metric": "revenue"}
    assert await call("GET", "/api/analytics", **span) == "invalid_message"
    policy = "/api/retention/{owner}/{name}"
    for owner, name, change, code in (
        ("player", "outbox", {}, "nothing_to_change"),
        ("player", "outbox", {"keepSeconds": 3600}, "kept_too_shortly"),
        ("player", "nothing", {"enabled": True}, "policy_not_found"),
    ):
        assert await call("PUT", policy, change, owner=owner, name=name) == code
    document = "/api/persons/exports/{id}"
    person = {"playerId": str(uuid4()), "id": "later", "startAt": "2100-01-01T00:00:00Z"}
    await call("POST", "/api/players", {"id": person["playerId"]})
    await call("POST", EXPORT, person)
    assert await call("GET", document, id="later") == "export_not_complete"
    del person["startAt"]
    await call("POST", EXPORT, {**person, "id": "gone"})
    async with asyncio.timeout(BOUND_SECONDS):
        while await call("GET", document, id="gone") == "export_not_complete":
            pass
    client = await connect(nats_url, "test")
    await JetStreamObjects(client, subjects.PERSON_EXPORTS_BUCKET).delete("gone")
    await client.close()
    assert await call("GET", document, id="gone") == "export_gone"


async def absent(call: Caller, databases: Mapping[str, str]) -> None:
    """What is refused about somebody who is being erased, or is gone."""
    who = {"person_held": str(uuid4()), "person_erased": str(uuid4())}
    for person in who.values():
        await call("POST", "/api/players", {"id": person})
        await call("POST", "/api/customers", {"id": person, "currency": "EUR"})
    for service, table, key in (
        ("player", "player_progress", "player_uuid"),
        ("billing", "customers", "id"),
    ):
        connection = await asyncpg.connect(databases[service])
        # As an erasure leaves them.
        await connection.execute(
            f"UPDATE {table} SET held_by = 'erasure' WHERE {key} = $1",
            UUID(who["person_held"]),
        )
        await connection.execute(
            f"UPDATE {table} SET erased_at = now() WHERE {key} = $1",
            UUID(who["person_erased"]),
        )
        await connection.close()
    session = {"sessionId": str(uuid4())}
    for code, person in who.items():
        for method, path, body in (
            ("POST", "/api/players", {"id": person}),
            ("PATCH", PLAYER, {}),
            ("POST", f"{PLAYER}/logins", {}),
            ("POST", f"{PLAYER}/messages", {"text": "hello"}),
            ("POST", f"{PLAYER}/activities", {"event": "create_npc", "sourceId": "one"}),
            ("POST", f"{PLAYER}/grants", {"key": "k", "reason": "test", "coins": 1}),
            ("POST", f"{PLAYER}/revocations", {"key": "k", "reason": "test", "coins": 1}),
            ("POST", f"{PLAYER}/spend", {"key": "k", "coins": 1}),
            ("POST", "/api/sessions", {**session, "playerId": person}),
            ("PATCH", "/api/sessions/{sessionId}", {"playerId": person}),
            ("POST", "/api/customers", {"id": person, "currency": "EUR"}),
            ("PATCH", CUSTOMER, {}),
            ("PUT", f"{CUSTOMER}/payment-method", {"paymentMethod": "pm_card_visa"}),
            ("POST", "/api/subscriptions", {"customerId": person, "planId": "basic"}),
            (
                "POST",
                "/api/usage",
                {"eventId": "two", "metric": "api_calls", "quantity": 1, "customerId": person},
            ),
        ):
            parts = {"playerId": person} if path.startswith(PLAYER) else {}
            parts |= {"customerId": person} if path.startswith(CUSTOMER) else {}
            parts |= session if "{sessionId}" in path else {}
            got = await call(method, path, body, **parts)
            assert got == code, (method, path, got)
