"""Persons who are exported and erased, over all services."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from uuid import uuid4

from shared.jetstream.connection import jetstream
from shared.messages import subjects
from tests.integration.persons.town import LOOK_SECONDS, Person, Town


async def cancel(town: Town, subscription: str) -> None:
    await town.post(f"/api/subscriptions/{subscription}/cancel", {})


async def test_an_export_holds_every_word_that_was_put_in_and_no_journal_does(town: Town) -> None:
    ann = await town.move_in()
    await town.subscribe(ann)

    ended = await town.run("person_export", {**ann.body, "id": "export-1"})

    assert ended["status"] == "complete", ended
    async with town.http.get("/api/persons/exports/export-1") as answer:
        text = await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
    document = json.loads(text)
    assert [word for word in ann.words if word not in text] == []
    parts = {each["service"]: each for each in ended["output"]["parts"]}
    assert document["manifest"] == ended["output"]
    assert parts["player"]["rows"] == sum(map(len, document["parts"]["player"].values()))
    player = text.partition('"player":')[2].rpartition("}}")[0]
    assert sha256(player.encode()).hexdigest() == parts["player"]["sha256"]
    assert {"customers", "invoices", "ledger_entries"} <= set(document["parts"]["billing"])
    # In the owners' tables, where they were, and in the bucket alone.
    places = await town.places(ann.words)
    assert {each for each in places if each.startswith("maintenance.")} == set()
    assert {each for each in places if "." not in each} == {"OBJ_person-exports"}


async def test_after_an_erasure_no_word_is_found_anywhere_and_the_books_balance(
    town: Town,
) -> None:
    ann = await town.move_in()
    await cancel(town, await town.subscribe(ann))
    await town.run("person_export", ann.body)
    before = await town.places(ann.words)
    assert {
        "player.players",
        "player.messages",
        "player.dead_letters",
        "player.request_results",
        "billing.customers",
        "billing.sandbox_customers",
        "OBJ_person-exports",
    } <= before

    ended = await town.run("person_erasure", {**ann.body, "id": "erasure-1"})

    assert ended["status"] == "complete", ended
    assert ended["output"]["services"] == ["billing", "player"]
    assert ended["output"]["exportsDeleted"] == 1
    assert await town.places(ann.words) == set()
    assert (await town.ask("GET", "/api/billing/invariants"))[1]["violations"] == []
    [sums] = await town.pools["player"].fetch(
        """
        SELECT g.xp = sum(p.xp) AS xp, g.coins = sum(p.coins) AS coins, count(*) AS grants
        FROM player_progress AS g JOIN player_grants AS p USING (player_uuid)
        GROUP BY g.player_uuid
        """
    )
    assert sums["xp"]
    assert sums["coins"]
    assert sums["grants"] >= 2
    [booked] = await town.pools["billing"].fetch(
        "SELECT count(*) AS entries, sum(amount_minor) AS left FROM ledger_entries"
    )
    assert booked["entries"] >= 4
    assert booked["left"] == 0
    [erasure] = (await town.ask("GET", "/api/persons/erasures"))[1]["erasures"]
    assert (erasure["playerId"], erasure["customerId"]) == (ann.player_id, ann.customer_id)


async def test_what_comes_later_brings_nobody_back(town: Town) -> None:
    ann = await town.move_in()
    js, seen = jetstream(town.client), town.pools["player"]
    assert (await town.run("person_erasure", ann.body))["status"] == "complete"

    # As they were buffered in NATS while the service was away.
    async with town.without("player"):
        for name, words in (("message", f"I live at {ann.mark} Lane"), ("login", None)):
            fact = {"playerId": ann.player_id, "messageId": str(uuid4()), "text": words}
            await js.publish(subjects.ingest("player", name), json.dumps(fact).encode())
    refusals = [
        await town.ask("POST", f"/api/players/{ann.player_id}/logins", {}),
        await town.ask("PATCH", f"/api/players/{ann.player_id}", {"email": ann.email}),
        await town.ask("POST", "/api/players", {"id": ann.player_id, "email": ann.email}),
        await town.ask("PATCH", f"/api/customers/{ann.customer_id}", {"email": ann.email}),
        await town.ask("POST", "/api/customers", {"id": ann.customer_id, "currency": "EUR"}),
        # The very request that made her, whose first answer was remembered.
        await town.ask(
            "POST",
            "/api/players",
            {"id": ann.player_id, "externalId": f"game-{ann.mark}", "email": ann.email},
            key=f"create-{ann.mark}",
        ),
    ]

    assert [(status, said["code"]) for status, said in refusals] == [(410, "person_erased")] * 6
    async with asyncio.timeout(60):
        while True:
            if (await js.stream_info(subjects.INGEST_STREAM)).state.messages == 0:
                break
            await asyncio.sleep(LOOK_SECONDS)
    assert await seen.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert await town.places(ann.words) == set()
    run = await town.run("player", {"playerId": ann.player_id})
    assert (run["status"], run["error"]["name"]) == ("errored", "person_erased")


async def test_a_refusal_of_one_service_leaves_nobody_held(town: Town) -> None:
    ann = await town.move_in()
    subscription = await town.subscribe(ann)
    stranger = {**ann.body, "playerId": str(uuid4())}

    refused = await town.run("person_erasure", ann.body)
    assert (refused["status"], refused["error"]["name"]) == ("errored", "subscription_active")
    assert subscription in refused["error"]["message"]
    assert "cancel it first" in refused["error"]["message"]

    # Billing comes first: the refusal of the second releases it.
    await cancel(town, subscription)
    refused = await town.run("person_erasure", stranger)
    assert (refused["status"], refused["error"]["name"]) == ("errored", "person_not_found")
    undone = [each for each in refused["steps"] if each["type"] == "compensation"]
    assert [(each["name"], each["status"]) for each in undone] == [("hold_billing", "complete")]
    assert await town.pools["billing"].fetchval("SELECT held_by FROM customers") is None
    again = {"customerId": ann.customer_id, "planId": "pro"}
    assert (await town.ask("POST", "/api/subscriptions", again))[0] == 201
    assert "player.players" in await town.places(ann.words)


async def test_who_is_held_is_begun_nothing_for_and_goes_free_again(town: Town) -> None:
    ann = await town.move_in()
    held = {"id": ann.customer_id, "erasure": "by-hand"}
    assert (await ask(town, "billing", "hold_person", held))["state"] == "held"
    held_player = {"id": ann.player_id, "erasure": "by-hand"}
    assert (await ask(town, "player", "hold_person", held_player))["state"] == "held"

    refusals = [
        await town.ask("POST", "/api/subscriptions", subscription_of(ann)),
        await town.ask("PATCH", f"/api/customers/{ann.customer_id}", {"timezone": "Asia/Tokyo"}),
        await town.ask("POST", f"/api/players/{ann.player_id}/grants", grant("late")),
    ]
    assert [(status, said["code"]) for status, said in refusals] == [(409, "person_held")] * 3
    other = await ask(town, "player", "hold_person", {**held_player, "erasure": "another"})
    assert other["code"] == "person_held"
    unheld = await ask(town, "player", "erase_person", {**held_player, "erasure": "another"})
    assert unheld["code"] == "person_not_held"
    # A fact waits: neither lost nor among the dead letters.
    fact = {"playerId": ann.player_id, "messageId": str(uuid4()), "text": "later"}
    await jetstream(town.client).publish(
        subjects.ingest("player", "message"), json.dumps(fact).encode()
    )

    for service, person in (("billing", held), ("player", held_player)):
        state = await ask(town, service, "release_person", person)
        assert state["state"] == "known"
    await town.found("player", "SELECT count(*) = 1 FROM messages WHERE text = 'later'")
    assert (await town.ask("POST", f"/api/players/{ann.player_id}/grants", grant("b")))[0] == 200


async def test_an_erasure_goes_on_whoever_dies_between_the_services(town: Town) -> None:
    ann = await town.move_in()
    # Both are held, and billing's erasure is done, before maintenance goes; then the player is
    # away too, and comes last.
    async with town.without("player"):
        await town.post("/api/workflows/person_erasure", {**ann.body, "id": "long"})
        await town.found("billing", "SELECT held_by IS NOT NULL FROM customers")
        async with town.without("maintenance"):
            pass
    ended = await town.until(
        "/api/workflows/long", lambda seen: seen["status"] in {"complete", "errored"}
    )
    assert ended["status"] == "complete", ended
    assert await town.places(ann.words) == set()

    # Repeated, as after a restore, it changes nothing, and who is not there is no error.
    repeated = await town.run("person_erasure", {**ann.body, "again": True})
    assert repeated["output"]["services"] == ["billing", "player"]
    nobody = await town.run("person_erasure", {"playerId": str(uuid4()), "again": True})
    assert (nobody["status"], nobody["output"]["services"]) == ("complete", [])


def subscription_of(ann: Person) -> dict[str, str]:
    return {"customerId": ann.customer_id, "planId": "pro"}


def grant(key: str) -> dict[str, object]:
    return {"key": key, "reason": "a present", "coins": 1}


async def ask(town: Town, service: str, name: str, body: dict[str, str]) -> dict[str, str]:
    reply = await town.client.request(
        subjects.command(service, name), json.dumps(body).encode(), timeout=30
    )
    answer: dict[str, str] = json.loads(reply.data)
    return answer
