"""The bucket of API keys: maintenance shows in it who is let in, and gateways keep it in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar, cast

import msgspec
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from shared.jetstream.connection import jetstream
from shared.jetstream.patience import Together, patiently
from shared.jetstream.topology import ensure_api_keys
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.workflow.errors import Transient

T = TypeVar("T")

STREAM = subjects.API_KEYS_STREAM
COMPLETE = "complete"
"""The entry that tells that all keys are there: no key's id, whose length is another. A bucket
without it was lost, and tells nothing of who is not in it."""
OPERATION = "KV-Operation"


class KnownKey(Message, frozen=True, kw_only=True):
    """An entry of the bucket."""

    secret_sha256: str
    scopes: tuple[str, ...]
    rate_per_second: float | None = None


class ApiKeyBook:
    """All entries of the bucket in memory, as of the last `refresh`.

    Read by sequence instead of by a consumer: there is nothing at the server that could be lost,
    and what is new costs one request to find out.
    """

    def __init__(self, client: Client):
        self._js = jetstream(client)
        self._created: str | None = None
        self._sequence = 0
        self.read: dict[str, KnownKey] = {}
        """What the bucket has, complete or not."""
        self.complete = False
        self._keys: Mapping[str, KnownKey] | None = None
        self.refresh = Together(self._refresh)
        """Reads what is new, once for all who ask at once. Raises Transient while NATS is away."""

    @property
    def keys(self) -> Mapping[str, KnownKey] | None:
        """By id; None as long as all of them never were there.

        Those of a bucket that was lost stay until the one made instead of it is complete.
        """
        return self._keys

    async def _refresh(self) -> None:
        try:
            info = await self._exchange("look at the keys", lambda: self._js.stream_info(STREAM))
        except NotFoundError:
            self._forget(None)
            return
        created = str(info.created)
        # A smaller sequence: the same bucket, which went back to a backup of the disk.
        if created != self._created or info.state.last_seq < self._sequence:
            self._forget(created)
        while self._sequence < info.state.last_seq:
            found = await self._next(self._sequence + 1)
            if found is None or found.seq is None:
                break
            self._sequence = found.seq
            self._take(found)
        if self.complete:
            self._keys = dict(self.read)

    def _forget(self, created: str | None) -> None:
        self._created, self._sequence = created, 0
        self.read, self.complete = {}, False

    def _take(self, found: RawStreamMsg) -> None:
        key_id = (found.subject or "").rpartition(".")[2]
        if key_id == COMPLETE:
            self.complete = True
        elif cast("dict[str, str]", found.headers or {}).get(OPERATION):
            self.read.pop(key_id, None)
        else:
            self.read[key_id] = msgspec.json.decode(found.data or b"", type=KnownKey)

    async def _next(self, sequence: int) -> RawStreamMsg | None:
        every = subjects.api_key_entry("*")

        async def attempt() -> RawStreamMsg | None:
            try:
                return await self._js.get_msg(STREAM, seq=sequence, subject=every, next=True)
            except NotFoundError:
                return None

        return await self._exchange("read an API key", attempt)

    async def _exchange(self, what: str, exchange: Callable[[], Awaitable[T]]) -> T:
        try:
            return await patiently(what, exchange)
        except NotFoundError:
            raise
        except APIError as error:
            raise Transient(f"{what}: {error}") from error


class ApiKeyBucket:
    """Writes the bucket, which it makes where it is missing. All methods raise Transient while
    JetStream is away."""

    def __init__(self, client: Client, *, replicas: int = 1):
        self._js = jetstream(client)
        self._book = ApiKeyBook(client)
        self._lost = Together(partial(ensure_api_keys, self._js, replicas=replicas))

    async def put(self, key_id: str, key: KnownKey) -> None:
        """Lets a key in."""
        await self._publish(key_id, encode(key))

    async def delete(self, key_id: str) -> None:
        """Lets it in no more."""
        # With a marker, not purged: a reader by sequence must see that it went.
        await self._publish(key_id, b"", {OPERATION: "DEL"})

    async def show(self, keys: Mapping[str, KnownKey]) -> int:
        """Makes these the keys of the bucket, and no others; how many entries it changed."""
        await self._book.refresh()
        there = self._book.read
        changed = {key_id: key for key_id, key in keys.items() if there.get(key_id) != key}
        gone = there.keys() - keys.keys()
        for key_id, key in changed.items():
            await self.put(key_id, key)
        for key_id in gone:
            await self.delete(key_id)
        if not self._book.complete:
            await self._publish(COMPLETE, b"")
        return len(changed) + len(gone)

    async def _publish(
        self, key_id: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        subject = subjects.api_key_entry(key_id)
        await patiently(
            f"put the API key {key_id}",
            lambda: self._js.publish(subject, body, headers=dict(headers or {})),
            lost=self._lost,
        )
