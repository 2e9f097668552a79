"""An object store in memory, for tests without servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from io import BufferedIOBase

from shared.jetstream.objects import CHUNK_BYTES, ObjectDamaged, ObjectInfo, ObjectMissing


class MemoryObjects:
    """See shared.jetstream.objects."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self._damaged: set[str] = set()

    async def put(self, name: str, source: BufferedIOBase, headers: Mapping[str, str]) -> None:
        """See Objects."""
        data = source.read()
        self._objects[name] = (ObjectInfo(name, len(data), dict(headers)), data)
        self._damaged.discard(name)

    async def get(self, name: str) -> AsyncGenerator[bytes]:
        """See Objects."""
        if name not in self._objects:
            raise ObjectMissing(f"there is no {name}")
        _, data = self._objects[name]
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]
        if name in self._damaged:
            raise ObjectDamaged(f"{name} has other bytes than were put")

    async def info(self, name: str) -> ObjectInfo | None:
        """See Objects."""
        found = self._objects.get(name)
        return None if found is None else found[0]

    async def infos(self) -> list[ObjectInfo]:
        """See Objects."""
        return [self._objects[name][0] for name in sorted(self._objects)]

    async def delete(self, name: str) -> None:
        """See Objects."""
        self._objects.pop(name, None)

    async def reclaim(self) -> int:
        """See Objects; no put is ever cut off here."""
        return 0

    def damage(self, name: str) -> None:
        """Has the object read as damaged, as what happens to a disk."""
        self._damaged.add(name)
