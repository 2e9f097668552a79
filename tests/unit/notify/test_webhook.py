"""Signatures are those of the convention, and a receiver's wishes are read in both forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.notify.webhook import seconds_until, sign, signing_key

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_signature_is_the_one_that_the_convention_publishes() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert (
        sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize("secret", ["hunter2!", "whsec_c2hvcnQ=", ""])
def test_a_secret_that_is_none_or_short_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ValueError, match=r"base64|bytes") as refused:
        signing_key(secret)
    assert not secret or secret not in str(refused.value)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 0),
        ("120", 120),
        ("Mon, 02 Mar 2026 12:01:00 GMT", 60),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(
    retry_after: str | None, seconds: float
) -> None:
    assert seconds_until(retry_after, NOW) == seconds
