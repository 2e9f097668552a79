"""Deliveries and requests with what is seen of them outside: spans and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from opentelemetry.trace import SpanKind

from shared.jetstream.delivery import JetStreamDelivery
from shared.jetstream.requests import Answer
from shared.messages.problems import Refused
from shared.runtime import metrics
from shared.workflow import tracing


def observed(
    consumer: str, handle: Callable[[JetStreamDelivery], Awaitable[str]]
) -> Callable[[JetStreamDelivery], Awaitable[None]]:
    """Carries out deliveries of a consumer; how each ended is counted and in its span."""

    async def handle_observed(delivery: JetStreamDelivery) -> None:
        with (
            tracing.entered(
                f"deliver {consumer}",
                SpanKind.CONSUMER,
                delivery.headers,
                delivery=delivery.attempt,
            ) as span,
            metrics.DELIVERY_SECONDS.labels(consumer).time(),
        ):
            outcome = await handle(delivery)
            span.set_attribute("outcome", outcome)
        metrics.DELIVERIES.labels(consumer, outcome).inc()

    return handle_observed


def answered(name: str, answer: Answer) -> Answer:
    """Answers the requests of a name; each refusal is counted by its code."""

    async def answer_observed(body: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            with tracing.entered(f"answer {name}", SpanKind.SERVER, headers):
                reply = await answer(body, headers)
        except Exception as error:
            code = error.code if isinstance(error, Refused) else type(error).__name__
            metrics.REQUESTS.labels(name, code).inc()
            raise
        metrics.REQUESTS.labels(name, "answered").inc()
        return reply

    return answer_observed
