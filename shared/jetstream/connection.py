"""The connection to NATS: how it is made, what it logs, and what its messages may weigh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import structlog
from nats.aio.client import DEFAULT_INBOX_PREFIX, Client
from nats.js.client import JetStreamContext

from shared.messages import subjects

log = structlog.get_logger(__name__)

FIRST_ATTEMPTS_SECONDS = 10.0
RECONNECT_SECONDS = 0.25
PING_SECONDS = 5
REQUEST_SECONDS = 2.0
"""Bound on one exchange with JetStream; a server that is there answers in milliseconds."""

REFUSED = "authorization violation"
DENIED = "permissions violation"
"""Words of the server; the library gives them no type of their own."""

HEADER_LINE_BYTES = len(b"NATS/1.0\r\n\r\n")
FIELD_BYTES = len(b": \r\n")


class Unreachable(Exception):
    """No NATS server answered in time; the message says where and what to do."""


class MessageTooLarge(Exception):
    """A message that NATS would not take however often it were sent."""


async def connect(
    url: str,
    name: str,
    *,
    on_closed: Callable[[], None] | None = None,
    first_attempts_seconds: float = FIRST_ATTEMPTS_SECONDS,
) -> Client:
    """A connection that is mended for ever once it has been made.

    `url` names one server, or several of a cluster, separated by commas. The user in it, if any,
    hears in its own inbox. `on_closed` is called when the client is closed for good, also by its
    owner; a process whose client closed by itself must end. Raises Unreachable when the first
    attempts fail.
    """
    client = Client()
    refused = False

    async def errored(error: Exception) -> None:
        nonlocal refused
        reason = str(error) or type(error).__name__
        refused = refused or REFUSED in reason.lower()
        if DENIED in reason.lower():
            # Told nowhere else: a publish that is denied looks like one not answered in time.
            log.error("nats_denied", connection=name, error=reason)
        else:
            log.warning("nats_error", connection=name, error=reason)

    async def disconnected() -> None:
        if not client.is_closed:
            log.warning("nats_disconnected", connection=name)

    async def reconnected() -> None:
        log.info("nats_reconnected", connection=name)

    async def closed() -> None:
        if on_closed is not None:
            on_closed()

    attempts = client.connect(
        url.split(","),
        name=name,
        inbox_prefix=_inbox_prefix(url),
        error_cb=errored,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        closed_cb=closed,
        # The default gives up after 60 attempts and leaves a process that lives but does nothing.
        max_reconnect_attempts=-1,
        # The default notices a server that vanished without a word only after six minutes.
        ping_interval=PING_SECONDS,
        reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # annotated int, slept on
        # Nothing is kept for a server that is away: what its caller was told had failed would
        # otherwise be sent after the reconnect.
        pending_size=0,
    )
    try:
        await asyncio.wait_for(attempts, first_attempts_seconds)
    except TimeoutError as error:
        if refused:
            raise Unreachable(
                f"NATS at {_address(url)} refuses the user or its password: correct the address"
            ) from error
        raise Unreachable(
            f"no NATS server answers at {_address(url)} within {first_attempts_seconds:g} s: "
            "start it, or correct the address"
        ) from error
    return client


async def close(client: Client) -> None:
    """Closes the connection for good."""
    try:
        await client.close()
    except OSError as error:
        # The library cannot say its last words to a server that is away, which is no failure.
        log.info("nats_closed_while_away", error=str(error))


def jetstream(client: Client) -> JetStreamContext:
    """JetStream on the connection, each exchange bounded by REQUEST_SECONDS."""
    return client.jetstream(timeout=REQUEST_SECONDS)


def require_fit(client: Client, headers: Mapping[str, str], body: bytes) -> None:
    """Raises MessageTooLarge for what the server would close the connection over (rule 30).

    The client library counts the body alone; the server counts the headers too.
    """
    fields = sum(len(name) + len(value.encode()) + FIELD_BYTES for name, value in headers.items())
    size = len(body) + HEADER_LINE_BYTES + fields
    if size > client.max_payload:
        raise MessageTooLarge(
            f"the message has {size} bytes with its headers; NATS takes {client.max_payload}"
        )


def _inbox_prefix(url: str) -> str | bytes:
    parts = urlsplit(url.split(",", maxsplit=1)[0])
    # A name without a password is a token, which no subject must show.
    if not parts.username or parts.password is None:
        return DEFAULT_INBOX_PREFIX
    return subjects.inbox(parts.username)


def _address(url: str) -> str:
    # Without the user and password that a URL may carry.
    return ", ".join(urlsplit(each).netloc.rpartition("@")[2] or each for each in url.split(","))
