"""Asks the services that own the tables: maintenance touches none but its own."""

from __future__ import annotations

from typing import TypeVar

from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import Message
from shared.workflow.errors import Transient

T = TypeVar("T")


class Owners:
    """The services' answers, once it is given the way to ask them."""

    def __init__(self) -> None:
        self._requests: Requests | None = None

    def give(self, requests: Requests) -> None:
        """The way to ask."""
        self._requests = requests

    async def command(
        self,
        service: str,
        name: str,
        message: Message,
        reply: type[T],
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float = 5.0,
    ) -> T:
        """Has a service change something.

        Raises Refused as the service did, and Unavailable when it did not answer.
        """
        headers = {subjects.ACTOR: "maintenance"}
        if idempotency_key is not None:
            headers[subjects.IDEMPOTENCY_KEY] = idempotency_key
        return await self._given.request(
            subjects.command(service, name),
            message,
            reply,
            headers,
            timeout_seconds=timeout_seconds,
        )

    async def query(
        self,
        service: str,
        name: str,
        message: Message,
        reply: type[T],
        *,
        timeout_seconds: float = 5.0,
    ) -> T:
        """What a service knows; raises what `command` does."""
        return await self._given.request(
            subjects.query(service, name), message, reply, timeout_seconds=timeout_seconds
        )

    @property
    def _given(self) -> Requests:
        if self._requests is None:
            raise Transient("the service has not begun")
        return self._requests
