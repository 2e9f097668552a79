"""What a service stands on in JetStream, as its settings have it."""

from __future__ import annotations

from collections.abc import Iterable

from nats.js.client import JetStreamContext

from shared.jetstream import topology
from shared.runtime.definition import ServiceSettings

INGEST_WORKERS = 8
EVENT_WORKERS = 8


async def ensure_standing(
    js: JetStreamContext,
    name: str,
    kinds: Iterable[str],
    settings: ServiceSettings,
    heard: Iterable[str] = (),
) -> None:
    """Makes streams, consumers and the status bucket exist; `heard` are the subjects of the facts
    of others that the service hears. Raises Transient."""
    workers = max(settings.workers, settings.wake_workers, INGEST_WORKERS, EVENT_WORKERS)
    await topology.ensure(
        js,
        name,
        kinds,
        heard=heard,
        replicas=settings.stream_replicas,
        ack_wait_seconds=settings.ack_wait_seconds,
        # Rule 32: replicas x workers x 2; room for sixteen replicas.
        max_ack_pending=workers * 32,
    )
