"""Dead letters are listed, replayed and discarded, by whoever may ask the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.dead_letters import (
    ByDeadLetter,
    DeadLetter,
    DeadLetters,
    DeadLettersQuery,
    DiscardDeadLetter,
    ReplayDeadLetter,
)
from shared.messages.problems import Refused
from shared.messages.workflows import Action, ControlCommand, Wake
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.runtime.dead_letters import DeadLetterCommands, dead_letter, dead_letters
from shared.runtime.handling import Handler, Work
from shared.testing.clocks import ManualClock
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.records import DeadLetter as Letter
from shared.workflow.registry import register
from tests.integration.engine.conftest import MakePlace, StartService

START = subjects.start("sample")


class Told(Message, frozen=True, kw_only=True):
    number: int


class Doorkeeper:
    """Takes facts once its door is open."""

    def __init__(self) -> None:
        self.open = False
        self.keys: list[str] = []

    async def take(self, work: Work, told: Told) -> None:
        if not self.open:
            raise Refused("closed", "come again later", status=409)
        self.keys.append(work.key)
        await work.connection.execute(
            "UPDATE counters SET value = value + $1 WHERE name = 0", told.number
        )
        await work.connection.execute("SELECT pg_notify('changed', '')")


@pytest.mark.rule("engine-27")
async def test_a_letter_is_replayed_within_the_duplicate_window_once(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(nats_url)
    door = Doorkeeper()
    await start_service(place, facts=[Handler("told", Told, door.take)])
    client = await connect(nats_url, "test")
    js, requests = jetstream(client), Requests(client)
    subject = subjects.ingest("sample", "told")
    await js.publish(subject, b'{"number": 5}', headers={subjects.MESSAGE_ID: "fact-1"})
    await place.until("SELECT count(*) = 1 FROM dead_letters")
    page = await requests.request(
        subjects.query("sample", "dead_letters"), DeadLettersQuery(reason="closed"), DeadLetters
    )
    [listed] = page.dead_letters
    door.open = True

    replay = (subjects.command("sample", "replay_dead_letter"), ReplayDeadLetter(id=listed.id))
    keyed = {subjects.IDEMPOTENCY_KEY: "k", subjects.ACTOR: "olga"}
    replayed = await requests.request(*replay, DeadLetter, keyed)
    again = await requests.request(*replay, DeadLetter, keyed)
    with pytest.raises(Refused) as refused:
        await requests.request(*replay, DeadLetter)

    await place.until("SELECT value = 5 FROM counters WHERE name = 0")
    assert again == replayed
    assert (replayed.settlement, replayed.settled_by) == ("replayed", "olga")
    assert (refused.value.code, refused.value.status) == ("dead_letter_settled", 409)
    assert door.keys == [f"replay.sample.{listed.id}"]
    assert await place.fetchval("SELECT count(*) FROM dead_letters") == 1
    await close(client)


class Desk:
    """The requests about letters in a service's database, without NATS."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], store: PostgresStore):
        self.pool = pool
        self.store = store
        self.clock = ManualClock()
        self.commands = DeadLetterCommands("sample", ["sample"])

    async def bury(self, subject: str, body: bytes, **fields: Any) -> int:
        """The id of a new letter."""
        count: int = await self.pool.fetchval("SELECT count(*) FROM dead_letters")
        letter = Letter(
            origin=f"TEST/0/{count}",
            subject=subject,
            headers=fields.get("headers", {}),
            body=body,
            reason=fields.get("reason", "undecodable"),
            detail="for the test",
            at=self.clock.now(),
        )
        await self.store.bury(letter)
        found: int = await self.pool.fetchval("SELECT max(id) FROM dead_letters")
        return found

    async def ask(self, handle: Any, request: Message) -> tuple[Any, Work]:
        """The answer, and what was done in its transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            work = Work(connection, self.clock.now(), "olga", "key")
            return await handle(work, request), work

    async def replay(self, letter_id: int) -> Any:
        """What is published for it."""
        _, work = await self.ask(self.commands.replay, ReplayDeadLetter(id=letter_id))
        [message] = work.messages
        return message


@pytest.fixture
async def desk(nats_url: str, make_place: MakePlace) -> AsyncIterator[Desk]:
    place = await make_place(nats_url)
    async with AsyncExitStack() as stack:
        pool = await create_pool(place.database_url, size=4, name="test", idle_timeout_seconds=30)
        stack.callback(pool.terminate)
        yield Desk(pool, PostgresStore("sample", pool, pool))


@pytest.mark.rule("engine-27")
async def test_the_list_is_newest_first_filtered_and_in_pages(desk: Desk) -> None:
    ids = [await desk.bury(START, b"{}", reason=f"r{n % 2}") for n in range(5)]
    desk.clock.advance(timedelta(hours=1))
    ids.append(await desk.bury("ingest.sample.told", b"{}", reason="r0"))
    await desk.ask(desk.commands.discard, DiscardDeadLetter(id=ids[0]))

    async def listed(**filters: Any) -> list[int]:
        page, _ = await desk.ask(dead_letters, DeadLettersQuery(**filters))
        return [each.id for each in page.dead_letters]

    assert await listed() == ids[:0:-1]
    assert await listed(include_settled=True) == ids[::-1]
    assert await listed(reason="r1") == [ids[3], ids[1]]
    assert await listed(subject=START, reason="r0") == [ids[4], ids[2]]
    assert await listed(since=desk.clock.now()) == [ids[5]]
    page, _ = await desk.ask(dead_letters, DeadLettersQuery(limit=2))
    assert page.next_cursor == ids[4]
    assert await listed(cursor=page.next_cursor) == [ids[3], ids[2], ids[1]]


@pytest.mark.rule("engine-27")
@pytest.mark.parametrize(
    ("body", "json", "base64"),
    [
        (b'{"a": 1}', b'{"a": 1}', None),
        (b"{oops", b"null", "e29vcHM="),
        (b"\xff", b"null", "/w=="),
        (b"[" * 100_000, b"null", "W1tb" * 33_333 + "Ww=="),
    ],
)
async def test_a_body_is_shown_as_json_or_as_it_came(
    desk: Desk, body: bytes, json: bytes, base64: str | None
) -> None:
    letter_id = await desk.bury(START, body, headers={subjects.MESSAGE_ID: "m"})
    shown, _ = await desk.ask(dead_letter, ByDeadLetter(id=letter_id))
    assert bytes(shown.body) == json
    assert shown.body_base64 == base64
    assert shown.headers == {subjects.MESSAGE_ID: "m"}


@pytest.mark.rule("engine-16", "engine-27")
async def test_a_replayed_start_stays_the_instance_that_it_was_and_loses_what_nats_reads(
    desk: Desk,
) -> None:
    bare = {
        subjects.MESSAGE_ID: "bare",
        "Nats-Expected-Last-Sequence": "7",
        subjects.STATUS_REVISION: "3",
        subjects.ACTOR: "game",
    }
    message = await desk.replay(await desk.bury(START, b'{"steps": "two"}', headers=bare))
    assert message.headers == {subjects.ACTOR: "game", subjects.WORKFLOW_ID: "bare"}
    assert (message.subject, message.body) == (START, b'{"steps": "two"}')

    named = await desk.replay(await desk.bury(START, b'{"id": "own"}', headers=bare))
    assert named.headers[subjects.WORKFLOW_ID] == "own"
    wrong = await desk.bury(START, b"{}", headers={subjects.WORKFLOW_ID: "not an id"})
    assert (await desk.replay(wrong)).headers == {subjects.WORKFLOW_ID: "not an id"}
    fact = await desk.replay(await desk.bury("ingest.sample.told", b"{}", headers=bare))
    assert fact.headers == {subjects.ACTOR: "game"}


@pytest.mark.rule("engine-23", "engine-27")
@pytest.mark.parametrize("subject", [START, subjects.wake("sample")])
async def test_the_replay_of_a_poisoned_instance_is_its_resume(desk: Desk, subject: str) -> None:
    rig = Rig([register(StartSample, SampleWorkflow())], store=desk.store)
    await rig.start(StartSample(id="one"))
    letter_id = await desk.bury(subject, encode(Wake(id="one")), reason="poisoned")
    message = await desk.replay(letter_id)
    assert message.subject == subjects.control("sample")
    resume = ControlCommand(id="one", action=Action.RESUME)
    assert msgspec.json.decode(message.body, type=ControlCommand) == resume
    assert message.headers == {subjects.ACTOR: "olga"}


@pytest.mark.rule("engine-23", "engine-27")
async def test_a_poisoned_start_that_made_no_instance_is_published_again(desk: Desk) -> None:
    letter_id = await desk.bury(START, encode(StartSample(id="one")), reason="poisoned")
    assert (await desk.replay(letter_id)).subject == START


@pytest.mark.rule("engine-17", "engine-23")
async def test_a_poisoned_instance_without_its_journal_is_not_run_from_the_top(desk: Desk) -> None:
    rig = Rig([register(StartSample, SampleWorkflow())], store=desk.store)
    await rig.start(StartSample(id="one"))
    await desk.pool.execute("UPDATE workflow_instances SET retired_at = clock_timestamp()")
    letter_id = await desk.bury(START, encode(StartSample(id="one")), reason="poisoned")
    with pytest.raises(Refused) as refused:
        await desk.replay(letter_id)
    assert refused.value.code == "workflow_retired"
    shown, _ = await desk.ask(dead_letter, ByDeadLetter(id=letter_id))
    assert shown.settlement is None


@pytest.mark.rule("engine-27")
async def test_what_is_settled_or_not_there_is_refused(desk: Desk) -> None:
    letter_id = await desk.bury(START, b"{}")
    shown, work = await desk.ask(desk.commands.discard, DiscardDeadLetter(id=letter_id))
    assert (shown.settlement, shown.settled_by, work.messages) == ("discarded", "olga", [])
    for handle, request, code in (
        (desk.commands.replay, ReplayDeadLetter(id=letter_id), "dead_letter_settled"),
        (desk.commands.discard, DiscardDeadLetter(id=letter_id), "dead_letter_settled"),
        (desk.commands.replay, ReplayDeadLetter(id=letter_id + 1), "dead_letter_not_found"),
        (dead_letter, ByDeadLetter(id=letter_id + 1), "dead_letter_not_found"),
    ):
        with pytest.raises(Refused) as refused:
            await desk.ask(handle, request)
        assert refused.value.code == code
