"""The channels of a service as its environment sets them up; none is needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from msgspec import Meta

from shared.messages.notices import OPERATORS
from shared.notify.channel import Channel
from shared.notify.mail import MailChannel
from shared.notify.notifier import Notifier
from shared.notify.plan import NoticePlan
from shared.notify.webhook import WebhookChannel, signing_key
from shared.postgres.trouble import transient_trouble
from shared.runtime.clocks import SystemClock
from shared.runtime.config import DatabaseSettings, Secret

HostName = Annotated[str, Meta(pattern=r"^[^\s/@]+\Z")]
MailAddress = Annotated[str, Meta(pattern=r'^[^\s@<>(),:;"\[\]\\]+@[^\s@<>(),:;"\[\]\\]+\Z')]


class SigningSecret(Secret):
    """A webhook's secret, checked when it is read."""

    def __init__(self, value: str):
        super().__init__(value)
        self.key = signing_key(value)


class WebAddress(Secret):
    """An http address. With many receivers its path is what lets one in, so it is a secret."""

    def __init__(self, value: str):
        super().__init__(value)
        try:
            parts = urlsplit(value)
            right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        if not right:
            # Raised here, since the library's own words repeat the address.
            raise ValueError("it is no http address")


class NoticeSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Where notices go besides the table. Nothing set: nowhere."""

    NEEDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("smtp_host", "mail_from"),
        ("mail_from", "smtp_host"),
        ("mail_operators", "smtp_host"),
        ("smtp_username", "smtp_host"),
        ("smtp_username", "smtp_password"),
        ("smtp_password", "smtp_username"),
        ("notify_webhook_url", "notify_webhook_secret"),
        ("notify_webhook_secret", "notify_webhook_url"),
    )

    smtp_host: Annotated[
        HostName | None, Meta(description="the mail server's name, such as smtp.example.org")
    ] = None
    smtp_port: Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")] = 587
    smtp_username: Annotated[
        str | None, Meta(description="the user to log in as, or leave it out")
    ] = None
    smtp_password: Annotated[Secret | None, Meta(description="the password of SMTP_USERNAME")] = (
        None
    )
    smtp_starttls: Annotated[
        bool, Meta(description="true, or false for a server that is reached without TLS")
    ] = True
    mail_from: Annotated[
        MailAddress | None,
        Meta(description="the sender's address, such as game@example.org"),
    ] = None
    mail_operators: Annotated[
        MailAddress | None,
        Meta(description="the address of those who run the system"),
    ] = None
    notify_webhook_url: Annotated[
        WebAddress | None,
        Meta(description="the receiver's address, such as https://example.org/notices"),
    ] = None
    notify_webhook_secret: Annotated[
        SigningSecret | None,
        Meta(description="`whsec_` and at least 24 random bytes in base64"),
    ] = None


@asynccontextmanager
async def open_notifier(
    service: str,
    plan: NoticePlan,
    settings: NoticeSettings,
    pool: asyncpg.Pool[asyncpg.Record],
) -> AsyncGenerator[Notifier]:
    """A service's notifier with the channels that its settings name."""

    async def find_address(recipient: str) -> str | None:
        if recipient == OPERATORS:
            return settings.mail_operators
        async with transient_trouble("address"), pool.acquire(timeout=5) as connection:
            return await plan.find_address(connection, recipient)

    async with AsyncExitStack() as stack:
        channels: list[Channel] = []
        if settings.smtp_host is not None and settings.mail_from is not None:
            channels.append(_mail(settings, settings.smtp_host, settings.mail_from, plan))
        url, secret = settings.notify_webhook_url, settings.notify_webhook_secret
        if url is not None and secret is not None:
            # The notifier bounds the time of an attempt.
            session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
            channels.append(
                WebhookChannel(
                    await stack.enter_async_context(session),
                    url=url.reveal(),
                    key=secret.key,
                    machine_now=SystemClock().now,
                )
            )
        yield Notifier(service, channels, plan.routes, find_address)


def _mail(settings: NoticeSettings, host: str, sender: str, plan: NoticePlan) -> MailChannel:
    password = settings.smtp_password
    return MailChannel(
        host=host,
        port=settings.smtp_port,
        sender=sender,
        templates=plan.templates,
        username=settings.smtp_username,
        password=None if password is None else password.reveal(),
        starttls=settings.smtp_starttls,
    )
