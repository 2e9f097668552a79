"""A whole service with mail and webhook set up: what it sends, shows, and keeps to itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from shared.jetstream.connection import close, connect
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.notices import AcknowledgeNotice, Notices, NoticesQuery, PostedNotice
from shared.notify.plan import NoticePlan
from shared.notify.rendering import Template
from shared.runtime.config import load
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.service import Service
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.ports import Connection
from shared.workflow.registry import register
from tests.integration.notify.conftest import BOTH, Desk
from tests.receivers import (
    PASSWORD,
    USER,
    WEBHOOK_SECRET,
    MailServer,
    WebhookReceiver,
    mail_server,
    webhook_receiver,
)

BOUND_SECONDS = 60.0


async def find_address(connection: Connection, recipient: str) -> str | None:
    """As an owner's store reads it, on the connection."""
    address: str = await connection.fetchval("SELECT $1::text || '@example.org'", recipient)
    return address


PLAN = NoticePlan(
    routes=BOTH,
    templates={"greeting": Template("Greetings", "said: $said\n")},
    find_address=find_address,
)


@asynccontextmanager
async def running(desk: Desk, nats_url: str, environment: dict[str, str]) -> AsyncGenerator[None]:
    """A replica with these variables besides those that it needs."""
    needed = {"NATS_URL": nats_url, "DATABASE_URL": desk.url, "HTTP_PORT": "0"}
    definition = ServiceDefinition(
        "sample", [register(StartSample, SampleWorkflow())], notices=PLAN
    )
    service = Service(definition, load(ServiceSettings, needed | environment))
    task = asyncio.create_task(service.run())
    try:
        yield
    finally:
        service.stop()
        async with asyncio.timeout(BOUND_SECONDS):
            assert await task is None


def mail_environment(mails: MailServer) -> dict[str, str]:
    return {
        "SMTP_HOST": "localhost",
        "SMTP_PORT": str(mails.port),
        "SMTP_USERNAME": USER,
        "SMTP_PASSWORD": PASSWORD,
        "MAIL_FROM": "game@example.org",
        "MAIL_OPERATORS": "night-watch@example.org",
    }


def webhook_environment(hooks: WebhookReceiver) -> dict[str, str]:
    return {"NOTIFY_WEBHOOK_URL": hooks.url, "NOTIFY_WEBHOOK_SECRET": WEBHOOK_SECRET}


@pytest.fixture
async def mails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """A mail server whose certificate this process trusts, as operating.md tells to."""
    async with mail_server() as server:
        bundle = tmp_path / "authorities.pem"
        bundle.write_bytes(server.authority.cert_pem.bytes())
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        yield server


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    client = await connect(nats_url, "test")
    yield client
    await close(client)


async def ask(client: Client, subject: str, request: Message) -> bytes:
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            # There is nobody to answer until the service is up.
            with suppress(NoRespondersError):
                reply = await client.request(subject, encode(request), timeout=BOUND_SECONDS)
                break
    assert reply.headers is None, reply.data
    return reply.data


async def until_settled(client: Client) -> tuple[PostedNotice, ...]:
    """The notices over NATS, once no letter is pending."""
    subject = subjects.query("sample", "notices")
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            reply = await ask(client, subject, NoticesQuery())
            notices = msgspec.json.decode(reply, type=Notices).notices
            if notices and all(
                each.letters and all(one.state != "pending" for one in each.letters)
                for each in notices
            ):
                return notices


async def test_a_notice_goes_out_by_mail_and_webhook_and_is_shown_as_sent(
    desk: Desk, nats_url: str, client: Client, mails: MailServer, hooks: WebhookReceiver
) -> None:
    environment = mail_environment(mails) | webhook_environment(hooks)
    async with running(desk, nats_url, environment):
        await desk.post("a")
        await desk.post("b", recipient="operators")
        async with asyncio.timeout(BOUND_SECONDS):
            for _ in range(2):
                await mails.arrived.acquire()
                await hooks.arrived.acquire()
        notices = await until_settled(client)
        read = await ask(
            client,
            subjects.command("sample", "acknowledge_notice"),
            AcknowledgeNotice(notice_id=notices[0].id),
        )

    assert sorted(mails.recipients) == ["ann@example.org", "night-watch@example.org"]
    assert sorted(mails.facts()) == sorted(hooks.facts()) == ["hello a", "hello b"]
    assert sorted(mails.ids()) == sorted(hooks.ids())
    states = [[(one.channel, one.state) for one in each.letters] for each in notices]
    assert states == [[("mail", "sent"), ("webhook", "sent")]] * 2
    assert msgspec.json.decode(read, type=PostedNotice).acknowledged_at is not None


async def test_without_channels_the_table_is_all_there_is(
    desk: Desk, nats_url: str, client: Client
) -> None:
    async with running(desk, nats_url, {}):
        await desk.post("a")
        reply = await ask(client, subjects.query("sample", "notices"), NoticesQuery())
    [notice] = msgspec.json.decode(reply, type=Notices).notices
    assert (notice.key, notice.letters) == ("a", ())


async def test_neither_secrets_nor_addresses_are_in_a_log_or_an_error(
    desk: Desk,
    nats_url: str,
    client: Client,
    mails: MailServer,
    hooks: WebhookReceiver,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for other_side in ("mail.log", "aiohttp.access"):
        monkeypatch.setattr(logging.getLogger(other_side), "disabled", True)
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    mails.recipient_refusal = f"550 5.1.1 <ann@example.org> is unknown, {PASSWORD}"
    hooks.refuse(for_good=True)
    environment = mail_environment(mails) | webhook_environment(hooks)
    async with running(desk, nats_url, environment):
        await desk.post("a")
        [notice] = await until_settled(client)

    errors = {each.channel: each.error for each in notice.letters}
    assert errors == {"mail": "SMTP 550 5.1.1", "webhook": "HTTP 410"}
    logged = capfd.readouterr().out
    assert "notice_failed" in logged
    for kept in (PASSWORD, WEBHOOK_SECRET, "ann@example.org", hooks.url):
        assert kept not in logged
