"""The sandbox's own: what its payment methods ask for, and its books."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from services.billing.models import Charge, Money, Payment, ProviderCustomer, ProviderEvent, Refund
from services.billing.payments.provider import OutcomeUnclear, ProviderUnreachable
from services.billing.payments.pump import SandboxPump, post_to
from services.billing.payments.sandbox import SandboxProvider
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock

DAY = timedelta(days=1)


class Shop:
    """One customer, who pays with one method; and whoever takes the webhooks."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], payment_method: str):
        self.clock = ManualClock()
        self.provider = SandboxProvider(pool, self.clock, Secret("whsec_sandbox"), self.post)
        self.payment_method = payment_method
        self.told: list[ProviderEvent] = []
        self.takes = True
        self.sent = 0

    async def charge(self, number: int | None = None) -> Payment:
        """Under the key of that number; without one, the next."""
        self.sent += 1
        reference = await self.provider.save_customer(
            ProviderCustomer(
                customer_id=UUID(int=7),
                email="ann@example.org",
                timezone="UTC",
                payment_method=self.payment_method,
            )
        )
        return await self.provider.charge(
            Charge(
                key=f"sub-1-20260301T000000Z-{number or self.sent}",
                customer_reference=reference,
                payment_method=self.payment_method,
                money=Money(amount_minor=1999, currency="EUR"),
                metadata={"subscription": "sub-1", "period": "20260301T000000Z"},
            )
        )

    async def post(self, body: bytes, headers: Mapping[str, str]) -> bool:
        if self.takes:
            self.told.append(self.provider.verify(body, headers, self.clock.now()))
        return self.takes

    def kinds(self) -> list[str | None]:
        return [event.kind for event in self.told]


@pytest.mark.parametrize("declines", range(1, 7))
async def test_declined_so_often_and_then_not(
    pool: asyncpg.Pool[asyncpg.Record], declines: int
) -> None:
    shop = Shop(pool, f"sandbox_declined_{declines}_then_succeeds")
    states = [(await shop.charge()).state for _ in range(declines + 2)]
    assert states == ["declined"] * declines + ["succeeded"] * 2


async def test_any_code_can_be_asked_for(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    payment = await Shop(pool, "sandbox_declined_with_pickup_card").charge()
    assert (payment.state, payment.decline_code) == ("declined", "pickup_card")


@pytest.mark.parametrize("ending", ["succeeds", "declines"])
async def test_down_for_one_customer_from_their_first_charge_on(
    pool: asyncpg.Pool[asyncpg.Record], ending: str
) -> None:
    shop = Shop(pool, f"sandbox_down_35_days_then_{ending}")
    for day in (0, 1, 34):
        shop.clock.set(ManualClock().now() + day * DAY)
        with pytest.raises(ProviderUnreachable):
            await shop.charge(1)
        with pytest.raises(ProviderUnreachable):
            await shop.provider.find("sub-1-20260301T000000Z-1")
    assert (await Shop(pool, "pm_card_visa").charge(2)).state == "succeeded"
    shop.clock.advance(DAY)
    assert await shop.provider.find("sub-1-20260301T000000Z-1") is None
    assert (await shop.charge(1)).state == {"succeeds": "succeeded", "declines": "declined"}[ending]


async def test_a_webhook_comes_before_the_answer(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    shop = Shop(pool, "sandbox_webhook_first")
    payment = await shop.charge()
    assert [event.payment for event in shop.told] == [payment]
    await shop.provider.deliver(shop.post)
    assert shop.kinds() == ["succeeded"]


async def test_webhooks_come_twice_and_the_last_one_first(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    shop = Shop(pool, "sandbox_webhook_twice_reordered")
    await shop.charge()
    assert await shop.provider.deliver(shop.post) == 4
    assert shop.kinds() == ["succeeded", "pending", "succeeded", "pending"]
    assert len({event.id for event in shop.told}) == 2


async def test_a_webhook_that_nobody_takes_is_posted_again(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    shop = Shop(pool, "pm_card_visa")
    payment = await shop.charge()
    shop.takes = False
    assert await shop.provider.deliver(shop.post) == 0
    shop.takes = True
    assert await shop.provider.deliver(shop.post) == 1
    assert await shop.provider.deliver(shop.post) == 0
    assert [event.payment for event in shop.told] == [payment]


async def test_two_pumps_at_once_post_each_webhook_once(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    shop = Shop(pool, "pm_card_visa")
    for _ in range(2):
        await shop.charge()
    both = asyncio.Barrier(2)

    async def post(body: bytes, headers: Mapping[str, str]) -> bool:
        await both.wait()
        return await shop.post(body, headers)

    await asyncio.gather(*(shop.provider.deliver(post) for _ in range(2)))
    assert len({event.id for event in shop.told}) == len(shop.told) == 2


async def test_what_is_due_next_is_known(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    shop = Shop(pool, "sandbox_pending_3_days_then_succeeds")
    start = shop.clock.now()
    assert await shop.provider.next_due() is None
    await shop.charge()
    assert await shop.provider.next_due() == start
    await shop.provider.deliver(shop.post)
    assert await shop.provider.next_due() == start + 3 * DAY
    shop.clock.advance(40 * DAY)
    await shop.provider.deliver(shop.post)
    assert await shop.provider.next_due() is None
    assert [event.occurred_at for event in shop.told] == [start, start + 3 * DAY]


@pytest.mark.parametrize(
    ("payment_method", "days"), [("pm_card_createDispute", 0), ("sandbox_disputed_after_5_days", 5)]
)
async def test_a_charge_is_taken_back_later(
    pool: asyncpg.Pool[asyncpg.Record], payment_method: str, days: int
) -> None:
    shop = Shop(pool, payment_method)
    disputed_at = shop.clock.now() + days * DAY
    assert (await shop.charge()).state == "succeeded"
    await shop.provider.deliver(shop.post)
    assert shop.kinds() == (["succeeded"] if days else ["succeeded", "disputed"])
    shop.clock.set(disputed_at)
    await shop.provider.deliver(shop.post)
    assert shop.kinds() == ["succeeded", "disputed"]
    assert (await shop.provider.books())[0].disputed_at == disputed_at


async def test_the_books_tell_what_was_taken_and_given_back(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    shop = Shop(pool, "sandbox_timeout_after_charging")
    with pytest.raises(OutcomeUnclear):
        await shop.charge(1)
    payment = await shop.charge(1)
    await shop.provider.refund(
        Refund(
            key="sub-1-20260301T000000Z-1-refund",
            charge_key=payment.key,
            provider_reference=payment.reference,
            money=payment.money,
        )
    )
    (booked,) = await shop.provider.books()
    assert (booked.key, booked.state, booked.requests) == (payment.key, "succeeded", 2)
    assert (booked.subscription, booked.period) == ("sub-1", "20260301T000000Z")
    assert (booked.amount_minor, booked.refunded_minor, booked.currency) == (1999, 1999, "EUR")


async def test_the_books_survive_their_caller_s_rollback(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    shop = Shop(pool, "pm_card_visa")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await shop.charge()
        await transaction.rollback()
    assert len(await shop.provider.books()) == 1


async def test_the_pump_posts_until_somebody_takes_it(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    asked: asyncio.Queue[tuple[bytes, Mapping[str, str]]] = asyncio.Queue()
    statuses = iter([503, 302, 200])

    async def take(request: web.Request) -> web.Response:
        asked.put_nowait((await request.read(), request.headers))
        return web.Response(status=next(statuses))

    app = web.Application()
    app.router.add_post("/api/webhooks/sandbox", take)
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/webhooks/sandbox"
    async with aiohttp.ClientSession() as session:
        shop = Shop(pool, "pm_card_visa")
        provider = SandboxProvider(pool, shop.clock, Secret("other"), post_to(session, url))
        payment = await shop.charge()
        pump = asyncio.create_task(SandboxPump(provider, interval_seconds=0).run())
        posted = [await asked.get() for _ in range(3)]
        pump.cancel()
    await runner.cleanup()
    events = [provider.verify(body, headers, shop.clock.now()) for body, headers in posted]
    assert [event.payment for event in events] == [payment] * 3


async def test_a_webhook_that_nobody_answers_is_not_taken() -> None:
    async with aiohttp.ClientSession() as session:
        assert not await post_to(session, "http://127.0.0.1:9/")(b"{}", {})
