"""Request and reply between services, over the NATS services API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats import micro
from nats.aio.client import Client
from nats.micro.request import ERROR_CODE_HEADER, Request
from nats.micro.service import Service
from opentelemetry.trace import SpanKind

from shared.jetstream.connection import MessageTooLarge, require_fit
from shared.jetstream.patience import PASSING
from shared.messages.base import Message, encode
from shared.messages.problems import Problem, Refused
from shared.workflow import tracing
from shared.workflow.errors import Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

Answer = Callable[[bytes, Mapping[str, str]], Awaitable[bytes]]
"""Takes a request's body and headers; raises Refused or Transient."""

REPLY_SECONDS = 5.0
CONTRACT_VERSION = "1.0.0"
"""Of the requests as such, which the services API shows; not of the build."""


class Unavailable(Exception):
    """Nobody answered; whether the request was carried out may be unknown."""

    def __init__(self, detail: str, *, carried_out: bool | None):
        super().__init__(detail)
        self.carried_out = carried_out
        """False: certainly not. None: unknown; repeat it under the same idempotency key."""


class RequestServer:
    """Answers requests, shared with the service's other replicas by a queue group."""

    def __init__(
        self,
        client: Client,
        service: str,
        answers: Mapping[str, Answer],
        *,
        max_in_flight: int = 20,
    ):
        self._client = client
        self._name = service
        self._answers = answers
        self._slots = asyncio.Semaphore(max_in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._service: Service | None = None

    async def start(self) -> None:
        """Subscribes to every subject."""
        self._service = await micro.add_service(
            self._client,
            name=self._name,
            version=CONTRACT_VERSION,
            queue_group=self._name,
        )
        for subject, answer in self._answers.items():
            await self._service.add_endpoint(
                name=subject.rpartition(".")[2],
                subject=subject,
                handler=partial(self._take, answer),
            )
        await self._client.flush()

    async def stop(self) -> None:
        """Takes nothing more and returns once what is in flight has been answered."""
        if self._service is not None:
            await self._service.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, answer: Answer, request: Request) -> None:
        # The library awaits one handler after another; requests of one subject need not wait
        # for each other, but a flood waits here, where the other replicas can take it.
        await self._slots.acquire()
        task = asyncio.create_task(self._carry_out(answer, request))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _carry_out(self, answer: Answer, request: Request) -> None:
        try:
            body = await answer(request.data, request.headers or {})
            require_fit(self._client, {}, body)
        except Refused as refused:
            await self._refuse(request, refused)
        except Transient as error:
            log.warning("request_unavailable", subject=request.subject, error=str(error))
            await self._refuse(request, Refused("unavailable", "try again", status=503))
        except MessageTooLarge as error:
            await self._refuse(request, Refused("reply_too_large", str(error), status=500))
        except Exception:
            log.exception("request_failed", subject=request.subject)
            await self._refuse(
                request, Refused("internal_error", "an error that the log tells of", status=500)
            )
        else:
            await self._reply(request, request.respond(body))

    async def _refuse(self, request: Request, refused: Refused) -> None:
        problem = refused.problem()
        await self._reply(
            request,
            # The header is for the services API alone, and a header holds one line.
            request.respond_error(str(problem.status), problem.code, encode(problem)),
        )

    async def _reply(self, request: Request, sending: Awaitable[None]) -> None:
        try:
            await sending
        except (*PASSING, ValueError) as error:
            # The asker is told by its own time-out; a request without a reply subject asks nothing.
            log.warning("reply_not_sent", subject=request.subject, error=str(error))


class Requests:
    """Asks services."""

    def __init__(self, client: Client):
        self._client = client

    async def send(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = REPLY_SECONDS,
    ) -> bytes:
        """The reply's body.

        Raises Refused as the service did, Unavailable when it did not answer, and
        MessageTooLarge.
        """
        with tracing.span(f"request {subject}", SpanKind.CLIENT):
            return await self._send(subject, body, headers or {}, timeout_seconds)

    async def _send(
        self, subject: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> bytes:
        sent = {**headers, **tracing.outgoing()}
        require_fit(self._client, sent, body)
        try:
            reply = await self._client.request(subject, body, timeout=timeout_seconds, headers=sent)
        except (nats.errors.NoRespondersError, nats.errors.OutboundBufferLimitError) as error:
            raise Unavailable(f"nobody answers {subject} now", carried_out=False) from error
        except PASSING as error:
            raise Unavailable(f"{subject} was not answered in time", carried_out=None) from error
        code = (reply.headers or {}).get(ERROR_CODE_HEADER)
        if code is not None:
            raise _failure(subject, code, reply.data)
        return reply.data

    async def request(
        self,
        subject: str,
        message: Message,
        reply: type[T],
        headers: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = REPLY_SECONDS,
    ) -> T:
        """The decoded reply; raises what `send` does."""
        body = await self.send(subject, encode(message), headers, timeout_seconds=timeout_seconds)
        return msgspec.json.decode(body, type=reply)


def _failure(subject: str, code: str, body: bytes) -> Refused | Unavailable:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return Refused("internal_error", f"{subject} failed with {code}", status=500)
    if problem.status == 503:
        return Unavailable(f"{subject}: {problem.detail}", carried_out=None)
    return Refused(problem.code, problem.detail, status=problem.status, field=problem.field)
