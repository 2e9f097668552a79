"""Signatures of webhooks as Stripe writes them: `t=<seconds since 1970>,v1=<HMAC in hex>`."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime

from services.billing.payments.provider import SignatureRefused

TOLERANCE_SECONDS = 300
"""How far a signature's instant may lie from the present: what is older may be a replay."""


def sign(secret: str, body: bytes, at: datetime) -> str:
    """The header's value for a body that is sent at `at`."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_digest(secret, body, seconds)}"


def check(secret: str, body: bytes, header: str, now: datetime) -> None:
    """Raises SignatureRefused unless the body is signed by `secret`, and lately."""
    seconds = instant_of(header)
    check_instant(seconds, now)
    expected = _digest(secret, body, seconds).encode()
    # While a secret is changed there is a signature by each of the two.
    if not any(hmac.compare_digest(expected, each.encode()) for each in _values(header, "v1")):
        raise SignatureRefused("the signature is not that of this body")


def instant_of(header: str) -> int:
    """When the signature was made. Raises SignatureRefused unless it names one instant."""
    instants = _values(header, "t")
    if len(instants) != 1 or not instants[0].isdecimal():
        raise SignatureRefused("the signature names no instant")
    return int(instants[0])


def check_instant(seconds: int, now: datetime) -> None:
    """Raises SignatureRefused for a signature made long ago, or to be made in the future."""
    if abs(now.timestamp() - seconds) > TOLERANCE_SECONDS:
        raise SignatureRefused(f"the signature is not within {TOLERANCE_SECONDS} s of the present")


def find_header(headers: Mapping[str, str], name: str) -> str:
    """The header's value, however its name is written. Raises SignatureRefused without one."""
    for each, value in headers.items():
        if each.lower() == name.lower():
            return value
    raise SignatureRefused(f"the header {name} is missing")


def _values(header: str, name: str) -> list[str]:
    parts = [part.partition("=") for part in header.split(",")]
    return [value for each, _, value in parts if each == name]


def _digest(secret: str, body: bytes, seconds: int) -> str:
    return hmac.digest(secret.encode(), b"%d.%s" % (seconds, body), "sha256").hex()
