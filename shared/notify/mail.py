"""The channel `mail`: SMTP with STARTTLS."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
from aiosmtplib import SMTPException, SMTPResponseException

from shared.notify.channel import ChannelName, Letter, NotSent, Undeliverable
from shared.notify.rendering import Template, render

GOODBYE_SECONDS = 1.0
ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")


class MailChannel:
    """Hands letters to one mail server, a connection each."""

    name: ChannelName = "mail"
    needs_address = True

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        templates: Mapping[str, Template],
        username: str | None = None,
        password: str | None = None,
        starttls: bool = True,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = 30.0,
    ):
        self.timeout_seconds = timeout_seconds
        self._host = host
        self._port = port
        self._sender = sender
        self._templates = templates
        self._username = username
        self._password = password
        self._starttls = starttls
        self._tls = tls or ssl.create_default_context()

    async def send(self, letter: Letter) -> None:
        """See Channel. What is wrong with the server or the login may be mended, and is retried;
        a 5xx that refuses the sender, the recipient or the message is final."""
        message = compose(letter, self._sender, self._templates)
        server = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            # The sender's domain: the library would else ask DNS for this machine's name.
            local_hostname=self._sender.rpartition("@")[2],
            start_tls=self._starttls,
            tls_context=self._tls,
            timeout=None,  # the notifier bounds the time of an attempt
        )
        try:
            await server.connect()
            await server.send_message(message)
            # The server has taken it, whatever becomes of the farewell.
            with suppress(SMTPException):
                await server.quit(timeout=GOODBYE_SECONDS)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0]) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
            raise _refusal(error) from error
        except SMTPResponseException as error:
            raise NotSent(_code(error)) from error
        except (SMTPException, OSError) as error:
            raise NotSent(f"SMTP: {type(error).__name__}") from error
        finally:
            server.close()


def compose(letter: Letter, sender: str, templates: Mapping[str, Template]) -> EmailMessage:
    """The letter as a mail, the same bytes each time.

    Raises Undeliverable for an address or a subject that no mail can have: a line break in one
    would let whoever chose the text write headers of their own.
    """
    try:
        subject, body = render(letter.notice, templates)
    except KeyError as error:
        raise Undeliverable(f"its template asks for {error}, which it does not hold") from error
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = Address(addr_spec=sender)
    try:
        message["To"] = Address(addr_spec=letter.address or "")
    except (ValueError, IndexError) as error:
        raise Undeliverable("the recipient's address is no mail address") from error
    try:
        message["Subject"] = subject
    except ValueError as error:
        raise Undeliverable("its subject has a line break") from error
    message["Date"] = format_datetime(letter.created_at)
    message["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
    # Keeps absence notes from being sent back.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message


def _refusal(error: SMTPResponseException) -> Undeliverable | NotSent:
    return Undeliverable(_code(error)) if error.code >= 500 else NotSent(_code(error))


def _code(error: SMTPResponseException) -> str:
    """The codes alone: a server's words repeat addresses."""
    enhanced = ENHANCED_CODE.match(error.message)
    return f"SMTP {error.code}" + (f" {enhanced[0]}" if enhanced else "")
