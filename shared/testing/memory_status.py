"""The status bucket in memory, for tests without servers."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from shared.jetstream.status import Stored
from shared.messages.base import encode
from shared.messages.workflows import StatusDocument
from shared.workflow.ports import Order
from shared.workflow.records import InstanceKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryStatusBucket:
    """See shared.jetstream.status; every document claims to have been stored at one instant."""

    def __init__(self, stored_at: datetime = EPOCH):
        self._stored_at = stored_at
        self._documents: dict[InstanceKey, Stored] = {}
        self._revision = 0

    async def put(
        self,
        key: InstanceKey,
        document: bytes,
        order: Order,
        revision: int | None,  # noqa: ARG002 - there is no read to spare
    ) -> int | None:
        """See ports.StatusBucket."""
        found = self._documents.get(key)
        if found is not None and found.document.order >= order:
            return None
        return self._store(key, msgspec.json.decode(document, type=StatusDocument))

    async def create(self, key: InstanceKey, document: StatusDocument) -> int | None:
        """Stores the first document of a key; None when there is one already."""
        if key in self._documents:
            return None
        return self._store(key, msgspec.json.decode(encode(document), type=StatusDocument))

    async def get(self, key: InstanceKey) -> Stored | None:
        """The newest document of the key."""
        return self._documents.get(key)

    async def delete(self, key: InstanceKey, up_to: tuple[int, int]) -> None:
        """Takes the key away unless a later document is there; nothing happens without one."""
        found = self._documents.get(key)
        if found is not None and found.document.order[:2] <= up_to:
            del self._documents[key]

    def _store(self, key: InstanceKey, document: StatusDocument) -> int:
        self._revision += 1
        self._documents[key] = Stored(document, self._revision, self._stored_at)
        return self._revision
