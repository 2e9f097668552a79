"""Tells NATS again what PostgreSQL knows, after the whole of it was lost (engine rule 25)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Protocol

import msgspec

from shared.jetstream.connection import MessageTooLarge, close, connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket, Stored
from shared.messages.base import encode
from shared.postgres.pool import create_pool
from shared.postgres.recovery import RecoveryStore
from shared.runtime.definition import ServiceSettings
from shared.runtime.standing import ensure_standing
from shared.workflow.ports import Publisher, StatusBucket
from shared.workflow.projection import project
from shared.workflow.records import Entry, Instance, InstanceKey, OutboxMessage

HELD_PAUSE_SECONDS = 0.2
FIRST = InstanceKey("", "")


class Statuses(StatusBucket, Protocol):
    """A status bucket that can be read too."""

    async def get(self, key: InstanceKey) -> Stored | None:
        """The newest document of the key. Raises Transient."""
        ...

    def shown(self, kind: str) -> AsyncIterator[tuple[InstanceKey, tuple[int, int]]]:
        """Each key that a service has put, with its generation and version. Raises Transient."""
        ...

    async def delete(self, key: InstanceKey, up_to: tuple[int, int]) -> None:
        """Takes the key away unless a later document is there. Raises Transient."""
        ...


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did."""

    instances: int
    """That have a status to be shown."""
    statuses: int
    """That were put; the others had a later one already."""
    forgotten: int
    """Statuses of instances that PostgreSQL does not know."""
    messages: int


class Recovery:
    """Rebuilds one service's statuses and publishes its outbox again.

    Safe beside running replicas, and as often as one likes: what is told twice has the same id,
    and a status needs a greater order than the one that is there. What is unfinished needs no
    help: `due_at` brings it back within a minute (engine rule 1).
    """

    def __init__(
        self,
        store: RecoveryStore,
        statuses: Statuses,
        publisher: Publisher,
        say: Callable[[str], None],
        *,
        kinds: Iterable[str],
        batch: int = 100,
    ):
        self._kinds = tuple(kinds)
        self._store = store
        self._statuses = statuses
        self._publisher = publisher
        self._say = say
        self._batch = batch
        self._put = 0

    async def run(self) -> Recovered:
        """Does it all. Raises Transient when a server goes away: run it again."""
        return Recovered(
            forgotten=await self._forget_all(),
            instances=await self._rebuild_all(),
            statuses=self._put,
            messages=await self._tell(),
        )

    async def _forget_all(self) -> int:
        """Takes away the statuses of instances that a restored backup does not have.

        A service commits an instance before it puts its status, so what was read in the bucket
        first and has no row then never will have one by itself.
        """
        forgotten = 0
        for kind in self._kinds:
            read: dict[InstanceKey, tuple[int, int]] = {}
            async for key, order in self._statuses.shown(kind):
                read[key] = order
                if len(read) == self._batch:
                    forgotten += await self._forget(read)
                    read.clear()
            forgotten += await self._forget(read)
        return forgotten

    async def _forget(self, read: Mapping[InstanceKey, tuple[int, int]]) -> int:
        unknown = await self._store.unknown(read)
        await asyncio.gather(*(self._statuses.delete(key, read[key]) for key in unknown))
        return len(unknown)

    async def _rebuild_all(self) -> int:
        total, done, last = await self._store.count(), 0, FIRST
        held: list[InstanceKey] = []
        while keys := await self._store.keys_after(last, self._batch):
            held += await self._rebuild(keys)
            done, last = done + len(keys), keys[-1]
            self._say(f"{done} of {max(total, done)} instances")
        while held:
            self._say(f"waiting for {len(held)} instances that workers hold")
            await asyncio.sleep(HELD_PAUSE_SECONDS)
            held = await self._rebuild(held)
        return done

    async def _rebuild(self, keys: Collection[InstanceKey]) -> list[InstanceKey]:
        """Raises their generations and shows them; returns those that a worker holds."""
        raised = await self._store.raise_generations(keys)
        loaded = await self._store.load(raised)
        await asyncio.gather(*(self._show(*each) for each in loaded))
        return await self._store.present([key for key in keys if key not in raised])

    async def _show(self, instance: Instance, entries: Iterable[Entry]) -> None:
        document = project(instance, entries)
        # Most likely nothing is there.
        if await self._statuses.put(instance.key, encode(document), document.order, 0) is not None:
            self._put += 1
            return
        stored = await self._statuses.get(instance.key)
        if stored is None:
            return
        there = stored.document
        if await self._store.raise_above(instance.key, there.generation, there.version):
            # PostgreSQL has gone back to a backup: the status tells commits that never were.
            for again in await self._store.load([instance.key]):
                await self._show(*again)

    async def _tell(self) -> int:
        told = seq = 0
        while True:
            messages, seq = await self._store.told_after(seq, self._batch)
            if not messages:
                return told
            await self._publish(messages)
            told += len(messages)
            self._say(f"{told} messages")

    async def _publish(self, messages: Sequence[OutboxMessage]) -> None:
        try:
            await self._publisher.publish(messages)
        except MessageTooLarge:
            # The relay has buried it, or will.
            for message in messages:
                with suppress(MessageTooLarge):
                    await self._publisher.publish([message])


async def recover_service(
    name: str, kinds: Collection[str], settings: ServiceSettings, say: Callable[[str], None]
) -> Recovered:
    """Makes a service's streams and consumers exist and tells NATS what its database knows.

    Raises Unreachable and Transient.
    """
    async with AsyncExitStack() as stack:
        client = await connect(settings.nats_url.reveal(), f"{name}-recovery")
        stack.push_async_callback(close, client)
        pool = await create_pool(
            settings.database_url.reveal(),
            size=2,
            name=f"{name}-recovery",
            idle_timeout_seconds=settings.lease_seconds,
        )
        stack.callback(pool.terminate)
        await ensure_standing(jetstream(client), name, kinds, settings)
        say("streams, consumers and the status bucket are there")
        recovery = Recovery(
            RecoveryStore(pool),
            JetStreamStatusBucket(client),
            JetStreamPublisher(client),
            say,
            kinds=kinds,
        )
        return await recovery.run()
