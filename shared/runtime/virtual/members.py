"""All processes on the virtual clock, asked at once over core NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.jetstream.patience import PASSING
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.clock import ClockQuery, ClockReading
from shared.workflow.errors import Transient

R = TypeVar("R", bound=ClockReading)

GATHER_SECONDS = 0.5
"""How long answers are awaited while nobody is known who must answer."""
ANSWER_SECONDS = 1.0


class Answers(NamedTuple, Generic[R]):
    """What was answered, and who did not."""

    readings: tuple[R, ...]
    silent: tuple[str, ...]
    """Processes that are there but did not answer in time."""


class Members:
    """Learns from answers who there is, and forgets who has ended."""

    def __init__(self, client: Client):
        self._client = client
        self._known: set[str] = set()
        self._inbox: Subscription | None = None

    async def ask(self, subject: str, message: Message, answer: type[R]) -> Answers[R]:
        """Asks every process, and waits for each that is known. Raises Transient."""
        try:
            return await self._ask(subject, message, answer)
        except PASSING as error:
            raise Transient(f"ask on {subject}: {str(error) or type(error).__name__}") from error

    async def _ask(self, subject: str, message: Message, answer: type[R]) -> Answers[R]:
        readings: dict[str, R] = {}
        complete = asyncio.Event()

        async def take(reply: Msg) -> None:
            reading = msgspec.json.decode(reply.data, type=answer)
            readings[reading.member] = reading
            self._known.add(reading.member)
            if self._known <= readings.keys():
                complete.set()

        gathering = not self._known
        inbox = await self._open_inbox(take)
        await self._client.publish(subject, encode(message), reply=inbox.subject)
        if gathering:
            await asyncio.sleep(GATHER_SECONDS)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(complete.wait(), ANSWER_SECONDS)
        missing = sorted(self._known - readings.keys())
        there = await asyncio.gather(*(self._is_there(member) for member in missing))
        silent = tuple(name for name, is_there in zip(missing, there, strict=True) if is_there)
        self._known = {*readings, *silent}
        return Answers(tuple(readings.values()), silent)

    async def _open_inbox(self, take: Callable[[Msg], Awaitable[None]]) -> Subscription:
        # The one before is open until now, so that a process which started meanwhile, and for
        # which nobody waited, becomes known by its late answer.
        if self._inbox is not None:
            await self._inbox.unsubscribe()
        self._inbox = await self._client.subscribe(self._client.new_inbox(), cb=take)
        return self._inbox

    async def _is_there(self, member: str) -> bool:
        subject = subjects.clock_report(member)
        try:
            await self._client.request(subject, encode(ClockQuery()), timeout=ANSWER_SECONDS)
        except nats.errors.NoRespondersError:
            return False
        except TimeoutError:
            return True
        return True
