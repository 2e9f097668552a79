"""The caches: one bucket, in which a namespace's generation tells which values are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar
from uuid import uuid4

from nats.aio.client import Client
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from shared.jetstream.connection import jetstream
from shared.jetstream.patience import Together, patiently
from shared.jetstream.status import WRONG_LAST_SEQUENCE
from shared.jetstream.topology import STREAM_NOT_FOUND, ensure_caches
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.workflow.errors import Transient

T = TypeVar("T")

STREAM = subjects.CACHES_STREAM
EXPECTED = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
RENEWALS = 10
"""So often a generation is made anew while others do so too."""


class Kept(NamedTuple):
    """How many values of one generation are there."""

    namespace: str
    generation: str
    entries: int


class Cache(Protocol):
    """Keeps values for a while. All methods raise Transient while it is away.

    A reader asks for the generation before it loads a value, and puts the value under that
    generation. What it loaded before an invalidation is thereby put where nobody reads.
    """

    async def generation(self, namespace: str) -> str:
        """The one that is read now; made where there is none."""
        ...

    async def current(self, namespace: str) -> str | None:
        """The same, but none is made."""
        ...

    async def get(self, namespace: str, generation: str, key: str) -> bytes | None:
        """The value; None where none is kept."""
        ...

    async def put(
        self, namespace: str, generation: str, key: str, value: bytes, *, ttl_seconds: int
    ) -> None:
        """Keeps a value for `ttl_seconds` of machine time at most, and one over 1 MiB not at
        all."""
        ...

    async def invalidate(self, namespace: str) -> str:
        """Has nobody read what was put before; the new generation."""
        ...

    async def survey(self) -> list[Kept]:
        """What is kept, of all generations."""
        ...

    async def remove(self, namespace: str, generation: str) -> None:
        """Removes all values of a generation."""
        ...


class JetStreamCache:
    """A `Cache` on a bucket, which it makes where it is missing."""

    def __init__(self, client: Client, *, replicas: int = 1):
        self._js = jetstream(client)
        self._lost = Together(partial(ensure_caches, self._js, replicas=replicas))

    async def generation(self, namespace: str) -> str:
        """See Cache."""
        for _ in range(RENEWALS):
            found = await self._generation(namespace)
            if found is not None and found.data:
                return found.data.decode()
            made = await self._renew(namespace, found)
            if made is not None:
                return made
        raise Transient(f"the generation of {namespace} does not stay")

    async def current(self, namespace: str) -> str | None:
        """See Cache."""
        found = await self._generation(namespace)
        return found.data.decode() if found is not None and found.data else None

    async def get(self, namespace: str, generation: str, key: str) -> bytes | None:
        """See Cache."""
        # Any replica may answer: one that lags has no older value of the same generation.
        found = await self._read(subjects.cache_entry(namespace, generation, key), direct=True)
        return None if found is None else found.data

    async def put(
        self, namespace: str, generation: str, key: str, value: bytes, *, ttl_seconds: int
    ) -> None:
        """See Cache."""
        if len(value) > MAX_CONTENT_BYTES:
            return
        subject = subjects.cache_entry(namespace, generation, key)
        headers = {Header.MSG_TTL.value: f"{ttl_seconds}s"}
        await self._exchange(
            f"keep {subject}", lambda: self._js.publish(subject, value, headers=dict(headers))
        )

    async def invalidate(self, namespace: str) -> str:
        """See Cache."""
        for _ in range(RENEWALS):
            made = await self._renew(namespace, await self._generation(namespace))
            if made is not None:
                return made
        raise Transient(f"the generation of {namespace} does not stay")

    async def survey(self) -> list[Kept]:
        """See Cache."""

        async def attempt() -> dict[str, int]:
            try:
                info = await self._js.stream_info(STREAM, subjects_filter=subjects.cache_subjects())
            except NotFoundError:
                return {}
            return info.state.subjects or {}

        found: dict[tuple[str, str], int] = {}
        for subject in await self._exchange("survey the caches", attempt):
            # A generation's own subject has no key.
            _, _, namespace, generation, *key = subject.split(".")
            if key:
                found[namespace, generation] = found.get((namespace, generation), 0) + 1
        return [Kept(*each, entries) for each, entries in found.items()]

    async def remove(self, namespace: str, generation: str) -> None:
        """See Cache."""
        values = subjects.cache_entry(namespace, generation, ">")
        await self._exchange(
            f"remove {values}", lambda: self._js.purge_stream(STREAM, subject=values)
        )

    async def _generation(self, namespace: str) -> RawStreamMsg | None:
        # Of the leader: a replica that lags would name one that was invalidated.
        return await self._read(subjects.cache_generation(namespace), direct=False)

    async def _renew(self, namespace: str, found: RawStreamMsg | None) -> str | None:
        """A generation that never was, instead of the one that was found; None where another one
        stands there by now."""
        subject = subjects.cache_generation(namespace)
        made = uuid4().hex
        # Without the expectation, an attempt that timed out could land after a later invalidation,
        # and bring its own generation back with all that was read in it.
        headers = {EXPECTED: str(found.seq if found is not None and found.seq else 0)}

        async def attempt() -> bool:
            try:
                await self._js.publish(subject, made.encode(), headers=dict(headers))
            except APIError as error:
                if error.err_code not in WRONG_LAST_SEQUENCE:
                    raise
                return False
            return True

        return made if await self._exchange(f"renew {subject}", attempt) else None

    async def _read(self, subject: str, *, direct: bool) -> RawStreamMsg | None:
        async def attempt() -> RawStreamMsg | None:
            try:
                return await self._js.get_msg(STREAM, subject=subject, direct=direct)
            except NotFoundError as error:
                if error.err_code == STREAM_NOT_FOUND:
                    await self._lost()
                return None

        return await self._exchange(f"read {subject}", attempt)

    async def _exchange(self, what: str, exchange: Callable[[], Awaitable[T]]) -> T:
        """Its answer. Raises Transient for whatever is wrong with the cache."""
        try:
            return await patiently(what, exchange, lost=self._lost)
        except APIError as error:
            raise Transient(f"{what}: {error}") from error
