"""The status bucket: the newest document of each instance, never an older one again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime
from typing import cast
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.js.api import Header, PubAck, RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from shared.jetstream.connection import jetstream, require_fit
from shared.jetstream.patience import Lost, patiently
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import StatusDocument
from shared.workflow.errors import Transient
from shared.workflow.ports import Order
from shared.workflow.records import InstanceKey

WRONG_LAST_SEQUENCE = (10071, 10164)
"""JetStream's error codes for a compare-and-set whose expectation did not hold."""

STREAM = subjects.STATUS_STREAM
OPERATION = "KV-Operation"
EXPECTED = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
MARKER_KEPT = "1h"
"""How long a reader of the bucket can see that a key was deleted."""
NOT_PUT = (0, 0, 0)
"""The order of the gateway's own document, which no service has put yet."""


class Stored(msgspec.Struct, frozen=True):
    """A document as it stands in the bucket."""

    document: StatusDocument
    revision: int
    stored_at: datetime
    """By the server's clock, that of the streams too: machine time."""


class Found(msgspec.Struct, frozen=True):
    """What stands at a key, whatever it is."""

    key: InstanceKey
    revision: int
    """0 where nothing has ever stood."""
    document: StatusDocument | None
    """None where there is none, or what is there is none."""
    deleted: bool


class Conflict(Exception):
    """Another revision stands there than was expected."""


class JetStreamStatusBucket:
    """A `StatusBucket` on a key-value bucket, with what the gateway needs beside it.

    All methods raise Transient while JetStream is away. `lost` makes the bucket exist again when
    nothing takes what is put.
    """

    def __init__(self, client: Client, *, lost: Lost | None = None):
        self._client = client
        self._lost = lost
        self._js = jetstream(client)

    async def put(
        self, key: InstanceKey, document: bytes, order: Order, revision: int | None
    ) -> int | None:
        """Stores the document unless one of the same or a later order is there (rule 25).

        `revision`, 0 for none, is where the caller knows a document of a lower order to be; a
        wrong one costs a read, no more. Returns the revision written, None when nothing was.
        """
        expected = revision
        while True:
            if expected is None:
                found = await self._read(key, direct=False)
                if found is not None and _order(found) >= order:
                    return None
                expected = 0 if found is None else _sequence(found)
            try:
                return await self._write(key, document, expected)
            except Conflict:
                expected = None

    async def create(self, key: InstanceKey, document: StatusDocument) -> int | None:
        """Stores the first document of a key; its revision, or None when there is one already.

        Of any number of concurrent callers one succeeds.
        """
        attempt_id = str(uuid4())
        body = encode(document)
        expected = 0
        while True:
            try:
                return await self._write(key, body, expected, attempt_id)
            except Conflict:
                found = await self._read(key, direct=False)
                if found is not None and _header(found, subjects.MESSAGE_ID) == attempt_id:
                    # An attempt that timed out had been stored: it is no one else's.
                    return _sequence(found)
                if found is not None and not _deleted(found):
                    return None
                # Where a key was deleted, the marker's revision is what a new one follows.
                expected = 0 if found is None else _sequence(found)

    async def get(self, key: InstanceKey) -> Stored | None:
        """The newest document of the key.

        Any replica may answer; only an absence is confirmed by the leader, so that a key is
        found as soon as its `create` has returned.
        """
        found = await self._read(key, direct=True) or await self._read(key, direct=False)
        if found is None or _deleted(found):
            return None
        if found.time is None:
            raise ValueError(f"the server told no time of {key}")
        document = msgspec.json.decode(found.data or b"", type=StatusDocument)
        return Stored(document, _sequence(found), found.time)

    async def look(self, key: InstanceKey) -> Found:
        """What stands at the key, as the leader has it."""
        found = await self._read(key, direct=False)
        return Found(key, 0, None, deleted=True) if found is None else _found(key, found)

    async def replace(self, key: InstanceKey, document: bytes, revision: int) -> bool:
        """Stores the document whatever its order, if the key still stands at the revision."""
        try:
            await self._write(key, document, revision)
        except Conflict:
            return False
        return True

    async def remove(self, key: InstanceKey, revision: int) -> bool:
        """Takes the key away if it still stands at the revision."""
        headers = {
            OPERATION: "DEL",
            EXPECTED: str(revision),
            # The marker itself goes too, or old ids would fill the bucket.
            Header.MSG_TTL.value: MARKER_KEPT,
        }
        try:
            await self._publish(f"delete the status of {key}", key, b"", headers)
        except Conflict:
            return False
        return True

    async def last_revision(self) -> int:
        """The newest in the whole bucket."""
        info = await patiently("look at the status bucket", lambda: self._js.stream_info(STREAM))
        return info.state.last_seq

    async def walk(self, kind: str, first: int, last: int) -> AsyncGenerator[Found]:
        """What stands at each key of a kind, by revision, from `first` to `last`."""
        sequence = first
        prefix = subjects.status_subject(subjects.status_key(kind, ""))
        while (found := await self._next(f"{prefix}*", sequence)) and _sequence(found) <= last:
            sequence = _sequence(found) + 1
            yield _found(InstanceKey(kind, (found.subject or "").removeprefix(prefix)), found)

    async def check(self) -> None:
        """Returns if the bucket is there, or has been made again, and answers."""
        try:
            await patiently("look at the status bucket", lambda: self._js.stream_info(STREAM))
        except NotFoundError as error:
            if self._lost is None:
                raise Transient("there is no status bucket") from error
            await self._lost()

    async def shown(self, kind: str) -> AsyncGenerator[tuple[InstanceKey, tuple[int, int]]]:
        """Each key of a kind that a service has put, with its generation and version.

        What is put after the call began is left out.
        """
        async for found in self.walk(kind, 1, await self.last_revision()):
            if found.document is not None and found.document.order > NOT_PUT:
                yield found.key, found.document.order[:2]

    async def delete(self, key: InstanceKey, up_to: tuple[int, int]) -> None:
        """Takes the key away, for retention, unless a document of a later generation and version
        than `up_to` is there; nothing happens where there is none."""
        while True:
            found = await self._read(key, direct=False)
            if found is None or _deleted(found) or _order(found)[:2] > up_to:
                return
            if await self.remove(key, _sequence(found)):
                return

    async def _write(
        self, key: InstanceKey, body: bytes, expected: int, message_id: str | None = None
    ) -> int:
        headers = {EXPECTED: str(expected)}
        if message_id is not None:
            headers[subjects.MESSAGE_ID] = message_id
        require_fit(self._client, headers, body)
        return await self._publish(f"put the status of {key}", key, body, headers)

    async def _publish(
        self, what: str, key: InstanceKey, body: bytes, headers: dict[str, str]
    ) -> int:
        """The sequence it was stored at. Raises Conflict."""

        async def attempt() -> PubAck:
            subject = subjects.status_subject(str(key))
            return await self._js.publish(subject, body, headers=dict(headers))

        try:
            return (await patiently(what, attempt, lost=self._lost)).seq
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise Conflict from error
            raise

    async def _read(self, key: InstanceKey, *, direct: bool) -> RawStreamMsg | None:
        async def attempt() -> RawStreamMsg | None:
            try:
                return await self._js.get_msg(
                    STREAM,
                    subject=subjects.status_subject(str(key)),
                    direct=direct,
                )
            except NotFoundError:
                return None

        return await patiently(f"read the status of {key}", attempt)

    async def _next(self, subject: str, sequence: int) -> RawStreamMsg | None:
        async def attempt() -> RawStreamMsg | None:
            try:
                return await self._js.get_msg(STREAM, seq=sequence, subject=subject, next=True)
            except NotFoundError:
                return None

        return await patiently(f"read the statuses on {subject}", attempt)


def _header(message: RawStreamMsg, name: str) -> str | None:
    return cast("dict[str, str]", message.headers or {}).get(name)


def _deleted(message: RawStreamMsg) -> bool:
    return _header(message, OPERATION) in {"DEL", "PURGE"}


def _found(key: InstanceKey, message: RawStreamMsg) -> Found:
    document = None
    if not _deleted(message):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            document = msgspec.json.decode(message.data or b"", type=StatusDocument)
    return Found(key, _sequence(message), document, _deleted(message))


def _sequence(message: RawStreamMsg) -> int:
    if message.seq is None:
        raise ValueError("the server told no sequence of a stored message")
    return message.seq


class _Order(msgspec.Struct):
    generation: int = 0
    version: int = 0
    stage: int = 0


def _order(message: RawStreamMsg) -> Order:
    """The order of a stored document; a deletion is older than every document."""
    if _deleted(message):
        return (-1, -1, -1)
    order = msgspec.json.decode(message.data or b"", type=_Order)
    return (order.generation, order.version, order.stage)
