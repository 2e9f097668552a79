"""What follows a commit, in its order: publish the outbox, put the status (engine rule 11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Action, Status, Wake
from shared.workflow.controls import decide
from shared.workflow.ports import InstanceStore, Publisher, StatusBucket
from shared.workflow.projection import document, project
from shared.workflow.records import Entry, Instance, InstanceKey, OutboxMessage


def wake(key: InstanceKey) -> OutboxMessage:
    """The message that has an instance looked at; without an id, since a swallowed wake is worth
    less than one too many."""
    return OutboxMessage(id="", subject=subjects.wake(key.kind), body=encode(Wake(id=key.id)))


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
            (instance.generation, instance.version, 0),
            revision,
        )

    async def tell_pausing(self, key: InstanceKey) -> None:
        """Shows that a pause was asked for, while what is in flight goes on (rule 14)."""
        loaded = await self._store.load(key)
        if loaded is None or loaded[0].status is not Status.RUNNING:
            return
        instance, entries = loaded
        if decide(instance, await self._store.unread(key)).action is not Action.PAUSE:
            # Obeyed before, or taken back.
            return
        shown = replace(project(instance, entries), status=Status.WAITING_FOR_PAUSE, stage=1)
        await self._statuses.put(key, encode(shown), shown.order, None)

    async def wake(self, key: InstanceKey) -> None:
        """Has an instance looked at."""
        await self._publisher.publish([wake(key)])

    async def tell_again(self, key: InstanceKey) -> None:
        """The same for a commit whose worker may have died right after it."""
        loaded = await self._store.load(key)
        if loaded is not None:
            await self.tell(*loaded, await self._store.unsent(key), None)
