"""A service that stands in for the real ones, behind the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from nats.aio.client import Client

from services.gateway.routes.forwarding import ANY_SERVICE, Forward
from shared.jetstream.requests import Answer, RequestServer


class Asked(msgspec.Struct, frozen=True):
    """A request as it reached the service."""

    subject: str
    body: dict[str, Any]
    headers: dict[str, str]


class AnsweringService:
    """Remembers what it was asked; answers `{}` or what a test has it answer."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.failure: Exception | None = None

    def answer(self, subject: str) -> Answer:
        """What a server on this subject does."""

        async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
            self.asked.append(Asked(subject, msgspec.json.decode(body), dict(headers)))
            if self.failure is not None:
                raise self.failure
            return b'{"answered":true}'

        return answer


@asynccontextmanager
async def answering(
    client: Client, service: str, rows: Iterable[Forward], *more: str
) -> AsyncGenerator[AnsweringService]:
    """One on the subjects of these addresses, and on `more`."""
    fake = AnsweringService()
    subjects = {*(row.subject.replace(ANY_SERVICE, service) for row in rows), *more}
    server = RequestServer(client, service, {each: fake.answer(each) for each in subjects})
    await server.start()
    yield fake
    await server.stop()
