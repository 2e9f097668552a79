"""What follows a failed attempt."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.workflow.errors import NonRetryableError
from shared.workflow.options import Retry

ERROR = RuntimeError("x")


def delays(retry: Retry, attempts: int) -> list[float | None]:
    return [
        None if delay is None else delay.total_seconds()
        for attempt in range(1, attempts + 1)
        for delay in [retry.delay_after(attempt, ERROR, Random(0))]
    ]


def test_the_default_is_the_references_three_attempts_with_doubled_delays() -> None:
    assert delays(Retry(), 3) == [1, 2, None]


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (Retry(max_attempts=4, backoff="constant"), [1, 1, 1, None]),
        (Retry(max_attempts=4, backoff="linear"), [1, 2, 3, None]),
        (Retry(max_attempts=5, max_delay=timedelta(seconds=3)), [1, 2, 3, 3, None]),
        (Retry(max_attempts=1), [None]),
    ],
)
def test_backoff_follows_the_policy(retry: Retry, expected: list[float | None]) -> None:
    assert delays(retry, len(expected)) == expected


def test_a_non_retryable_error_has_no_next_attempt() -> None:
    assert Retry(max_attempts=99).delay_after(1, NonRetryableError("no"), Random(0)) is None


@given(
    attempt=st.integers(1, 10_000),
    jitter=st.floats(0, 1),
    seed=st.integers(),
)
def test_a_delay_is_never_negative_nor_above_the_cap(
    attempt: int, jitter: float, seed: int
) -> None:
    retry = Retry(max_attempts=10_001, jitter=jitter)
    delay = retry.delay_after(attempt, ERROR, Random(seed))
    assert delay is not None
    assert timedelta() <= delay <= retry.max_delay
