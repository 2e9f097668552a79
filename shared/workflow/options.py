"""Retry policy and time-outs of a step, and the pure decision what follows a failure."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Literal

import msgspec

from shared.workflow.errors import NonRetryableError, WorkflowMisuse


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how far apart a step is tried.

    `max_attempts` counts all attempts, the first included, as the reference's `maxRetries` does.
    """

    max_attempts: int = 3
    delay: timedelta = timedelta(seconds=1)
    backoff: Literal["constant", "linear", "exponential"] = "exponential"
    max_delay: timedelta = timedelta(hours=1)
    jitter: float = 0.0
    """Largest share of a delay that is taken off at random, 0 to 1."""

    def delay_after(self, attempt: int, error: BaseException, random: Random) -> timedelta | None:
        """Delay before the attempt that follows failed attempt number `attempt` (from 1).

        None when there is none. The reference's formula: delay · 2^(attempt - 1).
        """
        hopeless = isinstance(error, NonRetryableError | WorkflowMisuse)
        if hopeless or attempt >= self.max_attempts:
            return None
        if self.backoff == "constant":
            factor = 1
        elif self.backoff == "linear":
            factor = attempt
        else:
            # Past 2^32 of any delay the cap has long been reached; the bound avoids overflow.
            factor = 2 ** min(attempt - 1, 32)
        seconds = min(self.delay.total_seconds() * factor, self.max_delay.total_seconds())
        return timedelta(seconds=seconds * (1 - self.jitter * random.random()))


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `ctx.options(...)` sets for the operations that follow."""

    retry: Retry = Retry()
    timeout: timedelta | None = None
    """Bound on a step's body in machine time; never around COMMIT."""
