"""Letters get out at least once, and once where nothing goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from shared.notify.channel import NotSent, Undeliverable
from shared.notify.verdict import MAX_ATTEMPTS
from shared.postgres.letters import LetterStore
from shared.testing.channel import MemoryChannel
from shared.workflow.errors import Transient
from tests.integration.notify.conftest import Desk


async def send_all(desk: Desk, *channels: MemoryChannel) -> None:
    """A courier's work, once."""
    courier = desk.courier(*channels)
    await courier.route()
    for channel in channels:
        await courier.send(channel)


async def test_a_notice_goes_to_the_channels_of_its_route_with_its_recipients_address(
    desk: Desk,
) -> None:
    mail, webhook = MemoryChannel("mail", needs_address=True), MemoryChannel()
    await desk.post("a")
    await send_all(desk, mail, webhook)
    await send_all(desk, mail, webhook)
    assert [(each.notice.key, each.address) for each in mail.sent] == [("a", "ann@example.org")]
    assert [(each.notice.key, each.address) for each in webhook.sent] == [("a", None)]
    assert await desk.states() == [("a", "mail", "sent", 1), ("a", "webhook", "sent", 1)]


async def test_a_name_with_a_route_of_its_own_takes_no_other(desk: Desk) -> None:
    webhook = MemoryChannel()
    courier = desk.courier(webhook, routes={"*": ("webhook",), "quiet": ()})
    await desk.post("a")
    await desk.post("b", name="quiet")
    assert await courier.route() == 2
    assert await desk.states() == [("a", "webhook", "pending", 0)]


async def test_a_channel_that_is_set_up_later_is_not_flooded_with_what_is_past(desk: Desk) -> None:
    await desk.post("before")
    await send_all(desk)
    webhook = MemoryChannel()
    await desk.post("after")
    await send_all(desk, webhook)
    assert [each.notice.key for each in webhook.sent] == ["after"]


class Observed(LetterStore):
    """Tells of each attempt that is marked."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        super().__init__(pool)
        self.settled = asyncio.Semaphore(0)

    async def settle(self, *args: Any, **options: Any) -> None:
        await super().settle(*args, **options)
        self.settled.release()


async def test_two_replicas_send_each_letter_once(desk: Desk) -> None:
    keys = [f"{n}" for n in range(100)]
    await desk.post(*keys)
    webhook = MemoryChannel()
    store = Observed(desk.pool)
    replicas = [desk.courier(webhook, store=store) for _ in range(2)]
    loops = [asyncio.create_task(replica.run()) for replica in replicas]
    async with asyncio.timeout(30):
        for _ in keys:
            await store.settled.acquire()
    for loop in loops:
        loop.cancel()
    await asyncio.wait(loops)
    assert sorted(each.notice.key for each in webhook.sent) == sorted(keys)
    assert await desk.states() == [(key, "webhook", "sent", 1) for key in keys]


class Crashing(LetterStore):
    """Dies between sending and marking."""

    async def settle(self, *_: Any, **__: Any) -> None:
        raise Transient("the process was killed")


async def test_a_crash_between_sending_and_marking_sends_again_under_the_same_id(
    desk: Desk,
) -> None:
    webhook = MemoryChannel()
    await desk.post("a")
    crashing = desk.courier(webhook, store=Crashing(desk.pool))
    await crashing.route()
    await crashing.send(webhook)
    await send_all(desk, webhook)
    assert len(webhook.sent) == 1, "still claimed"

    await desk.make_due()
    await send_all(desk, webhook)

    first, second = webhook.sent
    assert first.id == second.id
    assert await desk.states() == [("a", "webhook", "sent", 2)]


async def test_no_transaction_is_open_while_a_letter_is_sent(desk: Desk) -> None:
    webhook = MemoryChannel()
    webhook.open.clear()
    await desk.post("a")
    sending = asyncio.create_task(send_all(desk, webhook))
    await webhook.entered.acquire()
    open_ones = await desk.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    assert open_ones == 0
    webhook.open.set()
    await sending


async def test_a_channel_that_hangs_delays_no_other_and_comes_again_after_its_time(
    desk: Desk,
) -> None:
    mail, webhook = MemoryChannel("mail", timeout_seconds=0.2), MemoryChannel()
    mail.open.clear()
    await desk.post("a")
    patient = MemoryChannel("mail", timeout_seconds=3600)
    patient.open.clear()
    running = asyncio.create_task(desk.courier(patient, webhook).run())
    async with asyncio.timeout(30):
        await patient.entered.acquire()
        await desk.post("b", "c")
        for _ in range(3):
            await webhook.entered.acquire()
    running.cancel()
    await asyncio.wait([running])
    assert [each.notice.key for each in webhook.sent] == ["a", "b", "c"]
    assert patient.sent == []

    await desk.make_due()
    await send_all(desk, mail)
    [*_, first] = await desk.notices()
    letter = first.letters[0]
    assert (letter.state, letter.error) == ("pending", "no answer within 0.2 s")


def counted(channel: str, outcome: str) -> float:
    labels = {"channel": channel, "outcome": outcome}
    return REGISTRY.get_sample_value("notice_letters_total", labels) or 0.0


async def test_a_refusal_for_good_is_final_and_shown_and_counted(desk: Desk) -> None:
    webhook = MemoryChannel()
    webhook.failure = Undeliverable("HTTP 410")
    before = counted("webhook", "failed")
    await desk.post("a")
    await send_all(desk, webhook)
    await send_all(desk, webhook)
    [notice] = await desk.notices()
    [letter] = notice.letters
    assert (letter.state, letter.attempts, letter.error) == ("failed", 1, "HTTP 410")
    assert (letter.next_attempt_at, letter.sent_at) == (None, None)
    assert counted("webhook", "failed") == before + 1


async def test_a_letter_that_is_not_taken_is_given_up_after_its_last_attempt(desk: Desk) -> None:
    webhook = MemoryChannel()
    webhook.failure = NotSent("HTTP 503")
    await desk.post("a")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await send_all(desk, webhook)
        state = "pending" if attempt < MAX_ATTEMPTS else "failed"
        assert await desk.states() == [("a", "webhook", state, attempt)]
        await send_all(desk, webhook)  # not due yet
        await desk.make_due()
    [notice] = await desk.notices()
    assert notice.letters[0].error == "HTTP 503"


async def test_a_letter_that_always_kills_its_courier_is_given_up_unsent(desk: Desk) -> None:
    webhook = MemoryChannel()
    await desk.post("a")
    crashing = desk.courier(webhook, store=Crashing(desk.pool))
    await crashing.route()
    for _ in range(MAX_ATTEMPTS):
        await crashing.send(webhook)
        await desk.make_due()
    await send_all(desk, webhook)
    assert len(webhook.sent) == MAX_ATTEMPTS
    [notice] = await desk.notices()
    assert notice.letters[0].state == "failed"


async def test_an_attempt_that_was_believed_lost_can_only_say_that_it_was_sent(desk: Desk) -> None:
    await desk.post("a")
    await desk.courier(MemoryChannel()).route()
    [lost] = await desk.store.claim("webhook", seconds=0, limit=10)
    [current] = await desk.store.claim("webhook", seconds=60, limit=10)
    assert (lost.attempt, current.attempt) == (1, 2)
    await desk.store.settle(lost, "failed", error="late")
    assert await desk.states() == [("a", "webhook", "pending", 2)]
    await desk.store.settle(lost, "sent")
    await desk.store.settle(current, "failed", error="refused as a repeat")
    assert await desk.states() == [("a", "webhook", "sent", 2)]


async def test_the_courier_goes_on_after_trouble_of_the_database(desk: Desk) -> None:
    class Troubled(LetterStore):
        troubles = 3

        async def claim(self, *args: Any, **options: Any) -> Any:
            if self.troubles:
                self.troubles -= 1
                raise Transient("PostgreSQL is away")
            return await super().claim(*args, **options)

    webhook = MemoryChannel()
    await desk.post("a")
    running = asyncio.create_task(desk.courier(webhook, store=Troubled(desk.pool)).run())
    async with asyncio.timeout(30):
        await webhook.entered.acquire()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
