"""The channel `webhook`: a signed POST, by the convention of standardwebhooks.com."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp

from shared.messages.base import encode
from shared.messages.notices import NoticeSent
from shared.notify.channel import ChannelName, Letter, NotSent, Undeliverable

SECRET_PREFIX = "whsec_"  # noqa: S105 - of secrets, itself none
SHORTEST_KEY_BYTES = 24
RETRIED = frozenset({408, 409, 425, 429})
"""Refusals by 4xx that say nothing against the letter itself."""


class WebhookChannel:
    """Posts each letter to one address."""

    name: ChannelName = "webhook"
    needs_address = False

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        key: bytes,
        machine_now: Callable[[], datetime],
        timeout_seconds: float = 10.0,
    ):
        self.timeout_seconds = timeout_seconds
        self._session = session
        self._url = url
        self._key = key
        self._machine_now = machine_now

    async def send(self, letter: Letter) -> None:
        """See Channel. 2xx has taken it; 408, 409, 425, 429, 3xx and 5xx are retried."""
        now = self._machine_now()
        body = body_of(letter)
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "Webhook-Id": letter.id,
            "Webhook-Timestamp": str(timestamp),
            "Webhook-Signature": sign(self._key, letter.id, timestamp, body),
        }
        try:
            # A redirect would hand the notice to an address that nobody has set up.
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status, after = answer.status, answer.headers.get("Retry-After")
        except (aiohttp.ClientError, OSError) as error:
            # Its words may hold the address, whose path is a secret with many receivers.
            raise NotSent(f"HTTP: {type(error).__name__}") from error
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in RETRIED:
            raise Undeliverable(f"HTTP {status}")
        raise NotSent(f"HTTP {status}", seconds_until(after, now))


def body_of(letter: Letter) -> bytes:
    """What is posted and signed."""
    notice = letter.notice
    return encode(
        NoticeSent(
            id=letter.id,
            service=letter.service,
            name=notice.name,
            recipient=notice.recipient,
            key=notice.key,
            data=notice.data,
            created_at=letter.created_at,
        )
    )


def sign(key: bytes, letter_id: str, timestamp: int, body: bytes) -> str:
    """The header Webhook-Signature; `timestamp` in seconds since 1970."""
    signed = b".".join([letter_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def signing_key(secret: str) -> bytes:
    """The key of a secret as it is passed around: `whsec_` and base64.

    Raises ValueError, without the secret in it, for one that is none or too short.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("it is not base64") from error
    if len(key) < SHORTEST_KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes, and {SHORTEST_KEY_BYTES} are needed")
    return key


def seconds_until(retry_after: str | None, now: datetime) -> float:
    """Retry-After in seconds, given as a number of them or as a date; 0 for none."""
    if retry_after is None:
        return 0.0
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0
