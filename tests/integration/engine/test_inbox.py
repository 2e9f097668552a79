"""Signals, controls and children between two replicas, over the real stream and database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec
import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.delivery import JetStreamDelivery
from shared.jetstream.publisher import JetStreamPublisher
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Action, ControlCommand, Signal, SignalCommand
from shared.testing.rig import Rig
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.records import OutboxMessage
from shared.workflow.registry import Registration, register
from tests.integration.engine.conftest import MakePlace, Place, StartService
from tests.scripts import (
    CHILD,
    HOUR,
    KIND,
    Nod,
    Run,
    Script,
    StartErrand,
    StartScript,
    Word,
    do_nothing,
    leave_row,
    replica,
    two_steps,
)

ENDED = "SELECT count(*) = $1 FROM workflow_instances WHERE kind = 'script' AND status = $2"


def registrations(run: Run, child: Run = do_nothing) -> list[Registration]:
    return [register(StartScript, Script(run)), register(StartErrand, Script(child, CHILD))]


def signal(workflow_id: str, signal: Signal) -> OutboxMessage:
    body = SignalCommand(type=signal.type, payload=msgspec.Raw(encode(signal)))
    return OutboxMessage(id="", subject=subjects.signal(KIND, workflow_id), body=encode(body))


def control(workflow_id: str, action: Action) -> OutboxMessage:
    body = encode(ControlCommand(id=workflow_id, action=action))
    return OutboxMessage(id="", subject=subjects.control(KIND), body=body)


class Send(Protocol):
    async def __call__(self, messages: Sequence[OutboxMessage]) -> None:
        """Publishes one after the other, so that their order is theirs in the stream."""
        ...


@pytest.fixture
async def place(nats_url: str, make_place: MakePlace) -> Place:
    made = await make_place(nats_url)
    client = await connect(nats_url, "test")
    await topology.ensure_streams(jetstream(client), "sample", ["sample", KIND, CHILD])
    await client.close()
    return made


@pytest.fixture
async def send(place: Place) -> AsyncIterator[Send]:
    client = await connect(place.nats_url, "test")
    publisher = JetStreamPublisher(client)

    async def each(messages: Sequence[OutboxMessage]) -> None:
        for message in messages:
            await publisher.publish([message])

    yield each
    await client.close()


@pytest.mark.rule("engine-13")
async def test_the_later_of_two_signals_that_is_delivered_first_brings_the_other_along(
    place: Place, send: Send
) -> None:
    async def wait_for_two(ctx: WorkflowContext) -> list[str]:
        return [(await ctx.wait_for_signal("word", Word)).text for _ in range(2)]

    client = await connect(place.nats_url, "test")
    js = jetstream(client)
    await topology.ensure_consumers(js, "sample", ["sample", KIND, CHILD])
    await send(
        [
            signal("one", Nod()),
            signal("another", Word(text="of another instance")),
            signal("one", Word(text="first")),
            signal("one", Word(text="second")),
        ]
    )
    queue = await js.pull_subscribe_bind(
        subjects.wakes_consumer("sample"), subjects.workflows_stream("sample")
    )
    deliveries = [
        JetStreamDelivery(client, message, "2026")
        for _ in range(4)
        for message in await queue.fetch(1)
    ]
    nod, _, first, second = deliveries
    standing = await second.before()
    assert [each.position for each in standing] == [nod.position, first.position]
    assert [each.body for each in standing] == [nod.body, first.body]
    await nod.ack()
    # Two replicas: the one that has the first in hand is slower.
    rig = replica(Rig(registrations(do_nothing)), wait_for_two)
    assert await rig.executor.deliver(second) == "absent"
    assert await rig.start(StartScript(id="one")) == "complete"
    assert await rig.executor.deliver(first) == "ended"
    assert await rig.output(KIND, "one") == ["first", "second"]
    await client.close()


@pytest.mark.rule("engine-12", "engine-13")
async def test_signals_reach_each_instance_in_order_however_two_replicas_share_them(
    place: Place, send: Send, start_service: StartService
) -> None:
    texts = [f"{number}" for number in range(8)]

    async def listen(ctx: WorkflowContext) -> list[str]:
        heard: list[str] = []
        for _ in texts:
            # Steps between the waits, so that signals come while transactions are open.
            await ctx.step("between", leave_row, f"between {len(heard)}")
            heard.append((await ctx.wait_for_signal("word", Word)).text)
        return heard

    for _ in range(2):
        await start_service(place, others=registrations(listen))
    ids = [f"i{number}" for number in range(12)]
    await place.publish([StartScript(id=each) for each in ids])
    await send([signal(each, Word(text=text)) for text in texts for each in ids])
    await place.until(ENDED, len(ids), "complete")
    outputs = await place.fetch("SELECT output FROM workflow_instances")
    assert [msgspec.json.decode(output) for (output,) in outputs] == [texts] * len(ids)
    assert await place.doubled() == []
    assert await place.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert await place.fetchval("SELECT count(*) FROM inbox WHERE read_at IS NULL") == 0
    await place.until_settled()


@pytest.mark.rule("engine-13", "engine-14")
@pytest.mark.parametrize("last", [Action.PAUSE, Action.RESUME])
async def test_the_last_of_many_pauses_and_resumes_counts_however_two_replicas_share_them(
    place: Place, send: Send, start_service: StartService, last: Action
) -> None:
    async def sleep(ctx: WorkflowContext) -> None:
        await ctx.sleep("night", HOUR)

    for _ in range(2):
        await start_service(place, others=registrations(sleep))
    ids = [f"i{number}" for number in range(6)]
    await place.publish([StartScript(id=each) for each in ids])
    await place.until(ENDED, len(ids), "waiting")
    other = Action.RESUME if last is Action.PAUSE else Action.PAUSE
    actions = [other, last] * 4
    await send([control(each, action) for action in actions for each in ids])
    await place.until_settled()
    status = "paused" if last is Action.PAUSE else "waiting"
    assert await place.fetch("SELECT DISTINCT status FROM workflow_instances") == [(status,)]
    assert await place.fetchval("SELECT count(*) FROM inbox WHERE read_at IS NULL") == 0


@pytest.mark.rule("engine-14")
async def test_a_restart_waits_for_the_call_that_another_replica_has_in_flight(
    place: Place, send: Send, start_service: StartService
) -> None:
    keys: list[str] = []
    entered, answer = asyncio.Event(), asyncio.Event()

    async def call(call: Call) -> str:
        keys.append(call.idempotency_key)
        entered.set()
        await answer.wait()
        return "answered"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("call", call)

    for _ in range(2):
        await start_service(place, others=registrations(run))
    await place.publish([StartScript(id="one")])
    await entered.wait()
    await send([control("one", Action.PAUSE), control("one", Action.RESTART)])
    # Both are stored, and acknowledged: the owner's lease keeps everybody out.
    await place.until("SELECT count(*) = 2 FROM inbox")
    assert await place.fetchval("SELECT run FROM workflow_instances") == 1
    answer.set()
    await place.until(ENDED, 1, "complete")
    states = "SELECT run, state FROM workflow_journal ORDER BY run"
    assert await place.fetch(states) == [(1, "complete"), (2, "complete")]
    assert len(set(keys)) == len(keys) == 2
    await place.until_settled()


@pytest.mark.rule("engine-24")
async def test_children_and_parents_find_one_another_over_two_replicas(
    place: Place, start_service: StartService
) -> None:
    async def parent(ctx: WorkflowContext) -> list[str]:
        children = [await ctx.start_child(f"child_{n}", StartErrand()) for n in range(3)]
        return [await child.result(str) for child in children]

    for _ in range(2):
        await start_service(place, others=registrations(parent, two_steps))
    ids = [f"i{number}" for number in range(10)]
    await place.publish([StartScript(id=each) for each in ids])
    await place.until(ENDED, len(ids), "complete")
    outputs = await place.fetch("SELECT output FROM workflow_instances WHERE kind = 'script'")
    assert [msgspec.json.decode(output) for (output,) in outputs] == [["second"] * 3] * len(ids)
    assert await place.doubled() == []
    await place.until_settled()
