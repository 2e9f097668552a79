"""Every stream, bucket and durable consumer with its settings, in one place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError

from shared.jetstream.patience import patiently
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES

HEADER_ROOM_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = MAX_CONTENT_BYTES + HEADER_ROOM_BYTES
DUPLICATE_WINDOW_SECONDS = 120.0
EVENTS_SECONDS = 7 * 86_400.0
"""As long as the outbox keeps what was sent (rule 26)."""

NAME_IN_USE = 10058
"""JetStream's error code for a stream that exists with other settings."""


async def ensure_streams(
    js: JetStreamContext, service: str, kinds: Iterable[str], *, replicas: int = 1
) -> None:
    """Makes the streams and the status bucket exist with these settings, changed ones updated;
    subjects are added, never taken away.

    Any number of processes may do so at once. Raises Transient while JetStream is away.
    """
    for config in (
        _work_queue(
            subjects.workflows_stream(service),
            [subject for kind in sorted(kinds) for subject in _commands(kind)],
        ),
        _work_queue(subjects.INGEST_STREAM, ["ingest.>"]),
        StreamConfig(
            name=subjects.EVENTS_STREAM,
            subjects=["events.>"],
            retention=RetentionPolicy.LIMITS,
            max_age=EVENTS_SECONDS,
            storage=StorageType.FILE,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
            max_msg_size=MAX_MESSAGE_BYTES,
        ),
        status_bucket(),
    ):
        await _ensure_stream(js, replace(config, num_replicas=replicas))


async def ensure_consumers(
    js: JetStreamContext,
    service: str,
    kinds: Iterable[str],
    *,
    ack_wait_seconds: float = 30.0,
    max_ack_pending: int = 256,
) -> None:
    """Makes the service's durable consumers exist with these settings, changed ones updated.

    `max_ack_pending` must be at least replicas x workers x 2 (rule 32).
    """
    kinds = sorted(kinds)
    stream = subjects.workflows_stream(service)
    for on_stream, name, filters in (
        (stream, subjects.starts_consumer(service), [subjects.start(kind) for kind in kinds]),
        (
            stream,
            subjects.wakes_consumer(service),
            [each(kind) for kind in kinds for each in (subjects.wake, subjects.signals)],
        ),
        (stream, subjects.controls_consumer(service), [subjects.control(kind) for kind in kinds]),
        (
            subjects.INGEST_STREAM,
            subjects.ingest_consumer(service),
            [subjects.ingest(service, ">")],
        ),
    ):
        config = ConsumerConfig(
            durable_name=name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait_seconds,
            # A message is given up by the engine, which counts and says so, not by the server.
            max_deliver=-1,
            max_ack_pending=max_ack_pending,
            filter_subjects=filters,
        )
        await _ensure_consumer(js, on_stream, config)


async def ensure(
    js: JetStreamContext,
    service: str,
    kinds: Iterable[str],
    *,
    replicas: int = 1,
    ack_wait_seconds: float = 30.0,
    max_ack_pending: int = 256,
) -> None:
    """Everything that a service needs before it pulls, publishes or puts."""
    kinds = tuple(kinds)
    await ensure_streams(js, service, kinds, replicas=replicas)
    await ensure_consumers(
        js,
        service,
        kinds,
        ack_wait_seconds=ack_wait_seconds,
        max_ack_pending=max_ack_pending,
    )


async def created_at(js: JetStreamContext, stream: str) -> str:
    """When the stream was created: tells it from one of the same name made anew (rule 16).

    Raises Transient while JetStream is away.
    """
    info = await patiently(f"look at the stream {stream}", lambda: js.stream_info(stream))
    if info.created is None:
        raise ValueError(f"the server told no creation time of {stream}")
    return info.created.isoformat()


def status_bucket() -> StreamConfig:
    """The stream of the status bucket, in the form every NATS client knows as a key-value bucket.

    Made here like the other streams, since clients can create a bucket but not change one.
    """
    return StreamConfig(
        name=subjects.STATUS_STREAM,
        subjects=[subjects.status_subject(">")],
        max_msgs_per_subject=1,
        allow_direct=True,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
        deny_delete=True,
        discard=DiscardPolicy.NEW,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        max_msg_size=MAX_MESSAGE_BYTES,
    )


def _commands(kind: str) -> tuple[str, ...]:
    return (
        subjects.start(kind),
        subjects.wake(kind),
        subjects.signals(kind),
        subjects.control(kind),
    )


def _work_queue(name: str, stream_subjects: list[str]) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=stream_subjects,
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        max_msg_size=MAX_MESSAGE_BYTES,
        allow_direct=True,
    )


async def _ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    async def attempt() -> None:
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != NAME_IN_USE:
                raise
            await js.update_stream(replace(config, subjects=await _subjects_too(js, config)))

    await patiently(f"make the stream {config.name}", attempt)


async def _subjects_too(js: JetStreamContext, config: StreamConfig) -> list[str]:
    # A replica of the previous build that starts during a deployment must not take the newer
    # build's kinds out of the stream; taking a subject away is left to the operator.
    there = (await js.stream_info(config.name or "")).config.subjects or []
    return sorted({*there, *(config.subjects or [])})


async def _ensure_consumer(js: JetStreamContext, stream: str, config: ConsumerConfig) -> None:
    async def attempt() -> None:
        await js.add_consumer(stream, config)

    await patiently(f"make the consumer {config.durable_name}", attempt)
