"""Who is at the other end of a channel: a mail server with STARTTLS, a receiver of webhooks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Protocol

import msgspec
import trustme
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from shared.messages.notices import NoticeSent
from shared.notify.channel import Letter, NotSent, Undeliverable
from shared.testing.channel import MemoryChannel
from tests.markdown import execute

USER, PASSWORD = "game", "correct-horse-battery-staple"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU"


class Receiver(Protocol):
    """Takes letters, and misbehaves as it is told."""

    def ids(self) -> list[str]:
        """The ids of what has arrived."""
        ...

    def facts(self) -> list[str]:
        """The fact `said` of what has arrived."""
        ...

    def refuse(self, *, for_good: bool) -> None: ...
    def hang(self) -> None: ...
    async def leave(self) -> None: ...


class MemoryReceiver:
    """The other end of a MemoryChannel."""

    def __init__(self, channel: MemoryChannel) -> None:
        self._channel = channel

    def ids(self) -> list[str]:
        return [letter.id for letter in self._channel.sent]

    def facts(self) -> list[str]:
        return [said(letter) for letter in self._channel.sent]

    def refuse(self, *, for_good: bool) -> None:
        self._channel.failure = Undeliverable("no") if for_good else NotSent("not now")

    def hang(self) -> None:
        self._channel.open.clear()

    async def leave(self) -> None:
        self._channel.failure = NotSent("away")


def said(letter: Letter) -> str:
    fact: str = letter.notice.data["said"]
    return fact


class MailServer:
    """aiosmtpd in this loop, with STARTTLS and a login required."""

    def __init__(self, *, starttls: bool = True) -> None:
        self._starttls = starttls
        self.logins: list[bytes] = []
        self.authority = trustme.CA()
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.arrived = asyncio.Semaphore(0)
        self.refusal: str | None = None
        self.recipient_refusal: str | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def client_tls(self) -> ssl.SSLContext:
        """Trusts this server's certificate."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    async def start(self) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost").configure_cert(tls)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self,
                hostname="localhost",
                tls_context=tls if self._starttls else None,
                require_starttls=self._starttls,
                auth_required=self._starttls,
                auth_require_tls=self._starttls,
                authenticator=self._authenticate,
                loop=loop,
            ),
            "127.0.0.1",
            0,
        )

    async def stop(self) -> None:
        assert self._server is not None
        self._open.set()
        self._server.close()

    def ids(self) -> list[str]:
        return [mail["Message-ID"].strip("<>").partition("@")[0] for mail in self.mails]

    def facts(self) -> list[str]:
        return [mail.get_content().strip().removeprefix("said: ") for mail in self.mails]

    def refuse(self, *, for_good: bool) -> None:
        self.refusal = "550 5.7.1 ann@example.org is no friend" if for_good else "451 4.3.0 later"

    def hang(self) -> None:
        self._open.clear()

    async def leave(self) -> None:
        await self.stop()

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login)
        right = given.login == USER.encode() and given.password == PASSWORD.encode()
        return AuthResult(success=right, handled=False)

    # -- aiosmtpd calls these by their names -----------------------------------------------------

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if self.recipient_refusal is not None:
            return self.recipient_refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        await self._open.wait()
        if self.refusal is not None:
            return self.refusal
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, EmailMessage, policy=policy.default))
        self.recipients += envelope.rcpt_tos
        self.arrived.release()
        return "250 OK"


class WebhookReceiver:
    """An aiohttp server that verifies each signature as docs/notices.md tells to."""

    def __init__(self) -> None:
        self.bodies: list[NoticeSent] = []
        self.arrived = asyncio.Semaphore(0)
        self.asked = 0
        self.status = 204
        self.headers: dict[str, str] = {}
        self._verify = execute("docs/notices.md")["verify"]
        self._open = asyncio.Event()
        self._open.set()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/notices", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/notices"

    async def stop(self) -> None:
        assert self._runner is not None
        self._open.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked += 1
        await self._open.wait()
        # Tests that send now and those that send in another year are both in time.
        now = int(request.headers["Webhook-Timestamp"])
        self._verify(WEBHOOK_SECRET, request.headers, body, now)
        if self.status < 300:
            notice = msgspec.json.decode(body, type=NoticeSent)
            assert notice.id == request.headers["Webhook-Id"]
            self.bodies.append(notice)
            self.arrived.release()
        return web.Response(status=self.status, headers=self.headers)

    def ids(self) -> list[str]:
        return [body.id for body in self.bodies]

    def facts(self) -> list[str]:
        return [body.data["said"] for body in self.bodies]

    def refuse(self, *, for_good: bool) -> None:
        self.status = 410 if for_good else 503

    def hang(self) -> None:
        self._open.clear()

    async def leave(self) -> None:
        await self.stop()


@asynccontextmanager
async def mail_server(*, starttls: bool = True) -> AsyncGenerator[MailServer]:
    """A mail server on a free port."""
    server = MailServer(starttls=starttls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def webhook_receiver() -> AsyncGenerator[WebhookReceiver]:
    """A receiver on a free port."""
    receiver = WebhookReceiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
