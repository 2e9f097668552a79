"""What follows a commit, in its order: publish the outbox, put the status (engine rule 11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.workflow.ports import InstanceStore, Publisher, StatusBucket
from shared.workflow.projection import document
from shared.workflow.records import Entry, Instance, InstanceKey, OutboxMessage


class AfterCommit:
    """Tells the world what an instance has committed. Raises Transient."""

    def __init__(self, store: InstanceStore, publisher: Publisher, statuses: StatusBucket):
        self._store = store
        self._publisher = publisher
        self._statuses = statuses

    async def tell(
        self,
        instance: Instance,
        entries: Iterable[Entry],
        messages: Sequence[OutboxMessage],
        revision: int | None,
    ) -> int | None:
        """Publishes and puts; returns the status key's revision, if it is known."""
        if messages:
            await self._publisher.publish(messages)
            await self._store.mark_sent([message.id for message in messages])
        return await self._statuses.put(
            instance.key,
            document(instance, entries),
            (instance.generation, instance.version),
            revision,
        )

    async def tell_again(self, key: InstanceKey) -> None:
        """The same for a commit whose worker may have died right after it."""
        loaded = await self._store.load(key)
        if loaded is not None:
            await self.tell(*loaded, await self._store.unsent(key), None)
