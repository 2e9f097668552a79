"""When a letter comes again, and when it is given up."""

from __future__ import annotations

from shared.notify.channel import NotSent, Undeliverable
from shared.notify.verdict import LONGEST_WISH_SECONDS, MAX_ATTEMPTS, Verdict, after


def test_a_refusal_for_good_fails_at_once() -> None:
    assert after(Undeliverable("HTTP 410"), 1) == Verdict("failed", "HTTP 410")


def test_waits_double_up_to_an_hour_and_the_last_attempt_fails() -> None:
    verdicts = [after(NotSent("HTTP 503"), n) for n in range(1, MAX_ATTEMPTS + 1)]
    *retries, last = verdicts
    seconds = [each.retry_seconds for each in retries]
    assert {each.state for each in retries} == {"pending"}
    assert seconds[:4] == [15, 30, 60, 120]
    assert max(seconds) == 3600
    assert seconds == sorted(seconds)
    assert last == Verdict("failed", "HTTP 503")


def test_a_receivers_wish_lengthens_a_wait_up_to_a_day_and_shortens_none() -> None:
    assert after(NotSent("HTTP 429", 500), 1).retry_seconds == 500
    assert after(NotSent("HTTP 429", 1), 1).retry_seconds == 15
    assert after(NotSent("HTTP 429", 10**9), 1).retry_seconds == LONGEST_WISH_SECONDS
