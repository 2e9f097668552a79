"""What a receiver's answer means, and a signature that holds for its own body and time alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from shared.messages.notices import Notice
from shared.notify.channel import Letter, NotSent, Undeliverable
from shared.notify.webhook import WebhookChannel, body_of, sign, signing_key
from tests.markdown import execute
from tests.receivers import WEBHOOK_SECRET, WebhookReceiver, webhook_receiver

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTICE = Notice(name="greeting", recipient="ann", key="one", data={"said": "hello"})
LETTER = Letter("an-id", "player", NOTICE, NOW, None)
verify = execute("docs/notices.md")["verify"]


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


async def send(receiver: WebhookReceiver, secret: str = WEBHOOK_SECRET) -> None:
    async with aiohttp.ClientSession() as session:
        key = signing_key(secret)
        await WebhookChannel(session, url=receiver.url, key=key, machine_now=lambda: NOW).send(
            LETTER
        )


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_2xx_has_taken_it(receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    await send(receiver)
    assert receiver.ids() == ["an-id"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_4xx_is_final(receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Undeliverable, match=f"^HTTP {status}$"):
        await send(receiver)


@pytest.mark.parametrize("status", [302, 307, 408, 409, 425, 429, 500, 503])
async def test_what_says_nothing_against_the_letter_is_retried_when_the_receiver_wishes(
    receiver: WebhookReceiver, status: int
) -> None:
    receiver.status = status
    receiver.headers = {"Retry-After": "90", "Location": receiver.url}
    with pytest.raises(NotSent, match=f"^HTTP {status}$") as refused:
        await send(receiver)
    assert refused.value.retry_after_seconds == 90
    assert receiver.asked == 1, "no redirect was followed"


async def test_a_signature_holds_for_its_secret_body_id_and_time_alone() -> None:
    body, timestamp = body_of(LETTER), int(NOW.timestamp())
    headers = {
        "Webhook-Id": "an-id",
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": sign(signing_key(WEBHOOK_SECRET), "an-id", timestamp, body),
    }
    verify(WEBHOOK_SECRET, headers, body, timestamp + 300)
    other_secret = "whsec_" + "A" * 32
    for secret, changed, given, now in (
        (other_secret, {}, body, timestamp),
        (WEBHOOK_SECRET, {}, body + b" ", timestamp),
        (WEBHOOK_SECRET, {"Webhook-Id": "other"}, body, timestamp),
        (WEBHOOK_SECRET, {"Webhook-Timestamp": str(timestamp + 1)}, body, timestamp),
        (WEBHOOK_SECRET, {}, body, timestamp + 301),
        (WEBHOOK_SECRET, {"Webhook-Signature": "v1,é"}, body, timestamp),
    ):
        with pytest.raises(ValueError, match=r"signed|ago"):
            verify(secret, headers | changed, given, now)
