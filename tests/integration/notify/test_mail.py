"""STARTTLS is insisted on, and what is wrong with the server or the login is retried."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.messages.notices import Notice
from shared.notify.channel import Letter, NotSent, Undeliverable
from shared.notify.mail import MailChannel
from tests.receivers import PASSWORD, USER, MailServer, mail_server

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTICE = Notice(name="greeting", recipient="ann", key="one", data={"said": "Grüße"})
LETTER = Letter("an-id", "player", NOTICE, NOW, "ann@example.org")


def channel(server: MailServer, **changed: Any) -> MailChannel:
    fields: dict[str, Any] = {
        "host": "localhost",
        "port": server.port,
        "sender": "game@example.org",
        "templates": {},
        "username": USER,
        "password": PASSWORD,
        "tls": server.client_tls(),
    }
    return MailChannel(**fields | changed)


async def test_a_mail_arrives_as_it_was_written() -> None:
    async with mail_server() as server:
        await channel(server).send(LETTER)
    [mail] = server.mails
    assert (mail["From"], mail["To"]) == ("game@example.org", "ann@example.org")
    assert mail["Message-ID"] == "<an-id@example.org>"
    assert server.facts() == ["Grüße"]


async def test_a_certificate_that_is_not_trusted_stops_the_letter() -> None:
    async with mail_server() as server:
        with pytest.raises(NotSent, match="SMTP: "):
            await channel(server, tls=ssl.create_default_context()).send(LETTER)
    assert server.mails == []


async def test_a_certificate_of_another_name_stops_the_letter() -> None:
    async with mail_server() as server:
        with pytest.raises(NotSent, match="SMTP: "):
            await channel(server, host="127.0.0.1").send(LETTER)
    assert server.mails == []


async def test_a_server_without_starttls_is_told_neither_password_nor_letter() -> None:
    anonymous = {"username": None, "password": None}
    async with mail_server(starttls=False) as server:
        for login in ({}, anonymous):
            with pytest.raises(NotSent, match="SMTP: SMTPException"):
                await channel(server, **login).send(LETTER)
        assert (server.logins, server.mails) == ([], [])


async def test_a_server_without_starttls_is_used_where_that_is_asked_for() -> None:
    async with mail_server(starttls=False) as server:
        await channel(server, starttls=False).send(LETTER)
    assert (server.logins, len(server.mails)) == ([USER.encode()], 1)


async def test_a_refused_login_is_retried_since_it_can_be_mended() -> None:
    async with mail_server() as server:
        with pytest.raises(NotSent, match=r"^SMTP 535 5\.7\.8$"):
            await channel(server, password="wrong").send(LETTER)
        await channel(server).send(LETTER)
    assert len(server.mails) == 1


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        ("550 5.1.1 <ann@example.org> unknown", Undeliverable, r"^SMTP 550 5\.1\.1$"),
        ("552 full", Undeliverable, r"^SMTP 552$"),
        ("450 4.2.1 <ann@example.org> greylisted", NotSent, r"^SMTP 450 4\.2\.1$"),
    ],
)
async def test_a_refused_recipient_is_told_by_its_codes_alone(
    answer: str, error: type[Exception], told: str
) -> None:
    async with mail_server() as server:
        server.recipient_refusal = answer
        with pytest.raises(error, match=told):
            await channel(server).send(LETTER)
