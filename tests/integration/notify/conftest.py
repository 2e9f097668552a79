"""A service's database with notices in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from shared.messages.notices import Notice, NoticesQuery, PostedNotice
from shared.notify.channel import Channel, ChannelName
from shared.notify.notifier import Notifier
from shared.postgres.letters import LetterStore
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.notices import NoticeStore
from shared.postgres.pool import create_pool
from shared.runtime.courier import Courier
from shared.testing.clocks import ManualClock
from shared.testing.servers import Databases

BOTH: dict[str, Sequence[ChannelName]] = {"*": ("mail", "webhook")}


class Desk:
    """Posts notices, sends them, and shows what became of them."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], url: str):
        self.pool = pool
        self.url = url
        self.clock = ManualClock()
        self.store = LetterStore(pool)

    async def post(self, *keys: str, at: datetime | None = None, **fields: Any) -> list[bool]:
        """Posts a notice a key, in one transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            store = NoticeStore(connection)
            return [
                await store.post(
                    Notice(
                        name=fields.get("name", "greeting"),
                        recipient=fields.get("recipient", "ann"),
                        key=key,
                        data={"said": f"hello {key}"},
                    ),
                    at or self.clock.now(),
                )
                for key in keys
            ]

    async def notices(self, **asked: Any) -> list[PostedNotice]:
        """All that the query asks for, newest first."""
        async with self.pool.acquire() as connection:
            return await NoticeStore(connection).page(NoticesQuery(**asked), 1000)

    async def states(self) -> list[tuple[str, str, str, int]]:
        """Key, channel, state and attempts of each letter."""
        return [
            (notice.key, each.channel, each.state, each.attempts)
            for notice in reversed(await self.notices())
            for each in notice.letters
        ]

    def courier(
        self,
        *channels: Channel,
        store: LetterStore | None = None,
        routes: dict[str, Sequence[ChannelName]] | None = None,
    ) -> Courier:
        """A replica's courier."""

        async def find_address(recipient: str) -> str:
            return f"{recipient}@example.org"

        notifier = Notifier("sample", channels, BOTH if routes is None else routes, find_address)
        return Courier(store or self.store, notifier, interval_seconds=0.01)

    async def make_due(self) -> None:
        """Lets every wait and every claim be over."""
        await self.pool.execute(
            "UPDATE notice_letters SET next_attempt_at = clock_timestamp() WHERE state = 'pending'"
        )


@pytest.fixture
async def desk(databases: Databases) -> AsyncIterator[Desk]:
    """A desk without notices."""
    url = await databases.create("sample", {"engine": ENGINE_SQL})
    pool = await create_pool(url, size=8, name="desk", idle_timeout_seconds=30)
    yield Desk(pool, url)
    pool.terminate()
    await databases.drop(url)
