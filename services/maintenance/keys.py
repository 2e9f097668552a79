"""Shows the gateways the API keys that are valid, as PostgreSQL has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import structlog

from services.maintenance.store.keys import KeyStore
from shared.jetstream.api_keys import ApiKeyBucket, KnownKey
from shared.jetstream.connection import close, connect
from shared.postgres.pool import create_pool
from shared.postgres.trouble import transient_trouble
from shared.runtime.definition import ServiceSettings
from shared.workflow.errors import Transient

log = structlog.get_logger()

INTERVAL_SECONDS = 5.0
"""So soon after NATS lost everything the keys are shown again."""
ACQUIRE_SECONDS = 5
BUCKET_SECONDS = 3.0
"""So long a transaction that changes a key waits for JetStream, with the lock that all need."""


class Keys:
    """See OwnPart; shows a change at once, and all of them again where the bucket has others.

    Whoever shows keys holds the store's lock until what he read of them, or changed, is committed.
    So nobody shows a key again that another one has just revoked.
    """

    name = "api-keys"

    def __init__(self) -> None:
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._bucket: ApiKeyBucket | None = None

    def give(self, pool: asyncpg.Pool[asyncpg.Record], bucket: ApiKeyBucket) -> None:
        """Where they are kept, and where they are shown."""
        self._pool, self._bucket = pool, bucket

    async def let_in(self, key_id: str, key: KnownKey) -> None:
        """Shows a key, under the lock. Raises Transient."""
        async with _bounded():
            await self._given[1].put(key_id, key)

    async def keep_out(self, key_id: str) -> None:
        """Takes a key away, under the lock. Raises Transient."""
        async with _bounded():
            await self._given[1].delete(key_id)

    async def run(self) -> None:
        """See OwnPart."""
        while True:
            try:
                await self.tick()
            except Transient as error:
                log.warning("api_keys_not_shown", reason=str(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def tick(self) -> int:
        """Makes the bucket what PostgreSQL says; how many entries changed. Raises Transient."""
        pool, bucket = self._given
        async with (
            transient_trouble("api_keys"),
            pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
            connection.transaction(),
        ):
            store = KeyStore(connection)
            await store.lock()
            changed = await bucket.show(await store.valid())
        if changed:
            log.info("api_keys_shown", changed=changed)
        return changed

    async def earliest_at(self) -> datetime | None:
        """See OwnPart: at no instant in particular."""
        return None

    @property
    def _given(self) -> tuple[asyncpg.Pool[asyncpg.Record], ApiKeyBucket]:
        if self._pool is None or self._bucket is None:
            raise Transient("the service has not begun")
        return self._pool, self._bucket


async def recover(settings: ServiceSettings) -> int:
    """Shows them after the whole of NATS was lost; how many entries changed.

    Raises Unreachable and Transient.
    """
    client = await connect(settings.nats_url.reveal(), "maintenance-recovery")
    try:
        pool = await create_pool(
            settings.database_url.reveal(),
            size=1,
            name="maintenance-recovery",
            idle_timeout_seconds=settings.lease_seconds,
        )
        try:
            keys = Keys()
            keys.give(pool, ApiKeyBucket(client, replicas=settings.stream_replicas))
            return await keys.tick()
        finally:
            pool.terminate()
    finally:
        await close(client)


@asynccontextmanager
async def _bounded() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(BUCKET_SECONDS):
            yield
    except TimeoutError as error:
        raise Transient("JetStream did not take the API key in time") from error
