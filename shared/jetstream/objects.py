"""Objects in JetStream: files of any size in chunks, each replaced as a whole or not at all."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BufferedIOBase
from typing import Protocol, TypeVar

import msgspec
from nats.aio.client import Client
from nats.js.api import ObjectMeta, ObjectMetaOptions, RawStreamMsg
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    NotFoundError,
    ObjectNotFoundError,
)
from nats.js.object_store import ObjectStore

from shared.jetstream.connection import jetstream
from shared.jetstream.patience import PASSING, patiently
from shared.jetstream.topology import ensure_objects
from shared.messages import subjects
from shared.workflow.errors import Transient

T = TypeVar("T")

CHUNK_BYTES = 128 * 1024


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of an object without its bytes."""

    name: str
    size_bytes: int
    headers: Mapping[str, str]


class ObjectMissing(Exception):
    """There is no object of that name."""


class ObjectDamaged(Exception):
    """Some of an object's bytes are not, or not all, what was put."""


class Objects(Protocol):
    """One bucket of objects. All methods raise Transient while it is away."""

    async def put(self, name: str, source: BufferedIOBase, headers: Mapping[str, str]) -> None:
        """Stores what `source` has from here to its end, in place of what has that name.

        Cut off, it has changed nothing, but may leave bytes to be reclaimed. `source` is read in
        a thread.
        """
        ...

    def get(self, name: str) -> AsyncGenerator[bytes]:
        """The object's bytes, a chunk at a time.

        Raises ObjectMissing before the first chunk, and ObjectDamaged at the latest after the
        last: until then nothing is certain.
        """
        ...

    async def info(self, name: str) -> ObjectInfo | None:
        """What is known of the object; None where there is none."""
        ...

    async def infos(self) -> list[ObjectInfo]:
        """What is there, by name."""
        ...

    async def delete(self, name: str) -> None:
        """Deletes the object, if there is one."""
        ...

    async def reclaim(self) -> int:
        """Deletes what puts that were cut off left behind; how many of them there were.

        Only for who knows that nobody puts meanwhile.
        """
        ...


class _Entry(msgspec.Struct):
    """An object as the bucket describes it; see ADR-20 of NATS."""

    name: str
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str | None = None
    deleted: bool | None = False
    headers: dict[str, list[str]] | None = None


class JetStreamObjects:
    """`Objects` on an object store, which it makes where it is missing.

    What the library reads with a push consumer is read here chunk by chunk: the library waits for
    ever for chunks that are gone, and takes them faster than a slow reader does.
    """

    def __init__(self, client: Client, bucket: str, *, replicas: int = 1):
        self._js = jetstream(client)
        self._bucket = bucket
        self._stream = subjects.objects_stream(bucket)
        self._make = partial(ensure_objects, self._js, bucket, replicas=replicas)

    async def put(self, name: str, source: BufferedIOBase, headers: Mapping[str, str]) -> None:
        """See Objects."""
        store = await self._exchange(f"open {self._bucket}", self._store)
        meta = ObjectMeta(
            name=name,
            # Lists, as clients in Go write and read them.
            headers={key: [value] for key, value in headers.items()},
            options=ObjectMetaOptions(max_chunk_size=CHUNK_BYTES),
        )
        try:
            # Not repeated here: what was read from the source is gone.
            await store.put(name, source, meta)
        except (*PASSING, APIError) as error:
            raise Transient(f"put {name}: {str(error) or type(error).__name__}") from error

    async def get(self, name: str) -> AsyncGenerator[bytes]:
        """See Objects."""
        entry = await self._entry(name)
        if entry is None:
            raise ObjectMissing(f"{self._bucket} has no {name}")
        subject = subjects.object_chunks(self._bucket, entry.nuid)
        digest, sequence = sha256(), 0
        for number in range(1, entry.chunks + 1):
            found = await self._exchange(
                f"read {name}", partial(self._chunk, subject, sequence + 1)
            )
            if found is None or found.seq is None:
                raise ObjectDamaged(f"{name} has no chunk {number} of {entry.chunks}")
            sequence = found.seq
            chunk = found.data or b""
            digest.update(chunk)
            yield chunk
        if entry.digest != f"SHA-256={urlsafe_b64encode(digest.digest()).decode()}":
            raise ObjectDamaged(f"{name} has other bytes than were put")

    async def info(self, name: str) -> ObjectInfo | None:
        """See Objects."""
        entry = await self._entry(name)
        return None if entry is None else _info(entry)

    async def infos(self) -> list[ObjectInfo]:
        """See Objects."""
        return sorted(map(_info, await self._entries()), key=lambda info: info.name)

    async def delete(self, name: str) -> None:
        """See Objects."""

        async def attempt() -> None:
            try:
                await (await self._store()).delete(name)
            except ObjectNotFoundError:
                return

        await self._exchange(f"delete {name}", attempt)

    async def reclaim(self) -> int:
        """See Objects."""
        chunks = await self._subjects(subjects.object_chunks(self._bucket, ">"))
        known = {
            subjects.object_chunks(self._bucket, entry.nuid) for entry in await self._entries()
        }
        left = sorted(chunks - known)
        for subject in left:
            purge = partial(self._js.purge_stream, self._stream, subject=subject)
            await self._exchange(f"reclaim {subject}", purge)
        return len(left)

    async def _entry(self, name: str) -> _Entry | None:
        subject = subjects.object_entry(self._bucket, name)
        return await self._exchange(f"look up {name}", partial(self._entry_at, subject))

    async def _entries(self) -> list[_Entry]:
        found = [
            await self._exchange(f"look up {subject}", partial(self._entry_at, subject))
            for subject in sorted(await self._subjects(subjects.object_entries(self._bucket)))
        ]
        return [entry for entry in found if entry is not None]

    async def _entry_at(self, subject: str) -> _Entry | None:
        try:
            # Of the leader: a replica that lags does not know yet what was just put.
            found = await self._js.get_last_msg(self._stream, subject)
        except NotFoundError:
            return None
        entry = msgspec.json.decode(found.data or b"", type=_Entry)
        return None if entry.deleted else entry

    async def _chunk(self, subject: str, sequence: int) -> RawStreamMsg | None:
        """The first of the subject from that sequence on."""
        try:
            return await self._js.get_msg(self._stream, sequence, subject, next=True)
        except NotFoundError:
            return None

    async def _subjects(self, pattern: str) -> set[str]:
        async def attempt() -> set[str]:
            try:
                info = await self._js.stream_info(self._stream, subjects_filter=pattern)
            except NotFoundError:
                return set()
            return set(info.state.subjects or {})

        return await self._exchange(f"list {self._bucket}", attempt)

    async def _store(self) -> ObjectStore:
        try:
            return await self._js.object_store(self._bucket)
        except BucketNotFoundError:
            await self._make()
            return await self._js.object_store(self._bucket)

    async def _exchange(self, what: str, exchange: Callable[[], Awaitable[T]]) -> T:
        """Its answer. Raises Transient for whatever is wrong with the bucket."""
        try:
            return await patiently(what, exchange)
        except APIError as error:
            raise Transient(f"{what}: {error}") from error


def _info(entry: _Entry) -> ObjectInfo:
    headers = {key: values[0] for key, values in (entry.headers or {}).items() if values}
    return ObjectInfo(entry.name, entry.size, headers)
