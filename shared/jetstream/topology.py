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

from shared.jetstream.patience import PASSING_CODES, patiently
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.workflows import TRIGGERS

HEADER_ROOM_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = MAX_CONTENT_BYTES + HEADER_ROOM_BYTES
DUPLICATE_WINDOW_SECONDS = 120.0
EVENTS_SECONDS = 7 * 86_400.0
"""As long as the outbox keeps what was sent (rule 26)."""

OBJECTS_SECONDS = {subjects.PERSON_EXPORTS_BUCKET: 7 * 86_400.0}
"""How long a bucket keeps its objects; others keep them for good."""
CACHES_BYTES = 64 * 2**20

NAME_IN_USE = 10058
"""JetStream's error code for a stream that exists with other settings."""
STREAM_NOT_FOUND = 10059
"""Of a stream that was there a moment ago: all of NATS has just been lost, or the node that answers
has not heard of it yet."""
MADE_ALREADY = (*PASSING_CODES, STREAM_NOT_FOUND)
"""What passes where a stream is taken to be there."""


def kinds_by_service() -> dict[str, list[str]]:
    """Each service that has workflows, with their kinds."""
    kinds: dict[str, list[str]] = {}
    for kind, trigger in TRIGGERS.items():
        kinds.setdefault(trigger.service, []).append(kind)
    return kinds


def streams(service: str, kinds: Iterable[str]) -> tuple[StreamConfig, ...]:
    """What a service stands on: its own stream first, then those that all services share."""
    return (
        _work_queue(
            subjects.workflows_stream(service),
            [subject for kind in sorted(kinds) for subject in commands(kind)],
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
    )


def consumers(
    service: str, kinds: Iterable[str], heard: Iterable[str] = ()
) -> tuple[tuple[str, ConsumerConfig], ...]:
    """The service's durable consumers, each after its stream; one of `heard`, the subjects of the
    facts of others that it hears, where there are any."""
    kinds = sorted(kinds)
    queue = subjects.workflows_stream(service)
    starts = [subjects.start(kind) for kind in kinds]
    wakes = [each(kind) for kind in kinds for each in (subjects.wake, subjects.signals)]
    controls = [subjects.control(kind) for kind in kinds]
    facts = replace(
        _consumer(subjects.ingest_consumer(service)),
        # As the single filter it is part of the request that makes the consumer, so that a right
        # can hold a service to its own facts.
        filter_subject=subjects.ingest(service, ">"),
    )
    return (
        (queue, _consumer(subjects.starts_consumer(service), starts)),
        (queue, _consumer(subjects.wakes_consumer(service), wakes)),
        (queue, _consumer(subjects.controls_consumer(service), controls)),
        (subjects.INGEST_STREAM, facts),
        *(
            (subjects.EVENTS_STREAM, _consumer(subjects.events_consumer(service), each))
            for each in filter(None, [sorted(heard)])
        ),
    )


def commands(kind: str) -> tuple[str, ...]:
    """The subjects of a kind in its service's stream."""
    return (
        subjects.start(kind),
        subjects.wake(kind),
        subjects.signals(kind),
        subjects.control(kind),
    )


async def ensure_streams(
    js: JetStreamContext, service: str, kinds: Iterable[str], *, replicas: int = 1
) -> None:
    """Makes the streams and the status bucket exist with these settings, changed ones updated;
    subjects are added, never taken away.

    Any number of processes may do so at once. Raises Transient while JetStream is away.
    """
    for config in streams(service, kinds):
        await _ensure_stream(js, replace(config, num_replicas=replicas))


async def ensure_consumers(
    js: JetStreamContext,
    service: str,
    kinds: Iterable[str],
    *,
    heard: Iterable[str] = (),
    ack_wait_seconds: float = 30.0,
    max_ack_pending: int = 256,
) -> None:
    """Makes the service's durable consumers exist with these settings, changed ones updated.

    `max_ack_pending` must be at least replicas x workers x 2 (rule 32).
    """
    for stream, config in consumers(service, kinds, heard):
        await _ensure_consumer(
            js, stream, replace(config, ack_wait=ack_wait_seconds, max_ack_pending=max_ack_pending)
        )


async def ensure(
    js: JetStreamContext,
    service: str,
    kinds: Iterable[str],
    *,
    heard: Iterable[str] = (),
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
        heard=heard,
        ack_wait_seconds=ack_wait_seconds,
        max_ack_pending=max_ack_pending,
    )


async def ensure_objects(js: JetStreamContext, bucket: str, *, replicas: int = 1) -> None:
    """Makes an object store exist. Raises Transient while JetStream is away."""
    await _ensure_stream(js, replace(objects_bucket(bucket), num_replicas=replicas))


async def ensure_caches(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Makes the caches' bucket exist. Raises Transient while JetStream is away."""
    await _ensure_stream(js, replace(caches_bucket(), num_replicas=replicas))


async def created_at(js: JetStreamContext, stream: str) -> str:
    """When the stream was created: tells it from one of the same name made anew (rule 16).

    Raises Transient while JetStream is away.
    """
    info = await patiently(
        f"look at the stream {stream}", lambda: js.stream_info(stream), codes=MADE_ALREADY
    )
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


def objects_bucket(bucket: str) -> StreamConfig:
    """The stream of an object store, in the form every NATS client knows."""
    return StreamConfig(
        name=subjects.objects_stream(bucket),
        subjects=[subjects.object_chunks(bucket, ">"), subjects.object_entries(bucket)],
        allow_direct=True,
        allow_rollup_hdrs=True,
        discard=DiscardPolicy.NEW,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        max_age=OBJECTS_SECONDS.get(bucket, 0.0),
    )


def caches_bucket() -> StreamConfig:
    """The stream of the caches' bucket, which may be lost at any time."""
    return StreamConfig(
        name=subjects.CACHES_STREAM,
        subjects=[subjects.cache_subjects()],
        max_msgs_per_subject=1,
        max_bytes=CACHES_BYTES,
        discard=DiscardPolicy.OLD,
        allow_direct=True,
        allow_msg_ttl=True,
        allow_rollup_hdrs=True,
        retention=RetentionPolicy.LIMITS,
        # A power loss takes it all. On disk it could take the last invalidation alone, and bring
        # back the values from before.
        storage=StorageType.MEMORY,
        max_msg_size=MAX_MESSAGE_BYTES,
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


def _consumer(name: str, filters: list[str] | None = None) -> ConsumerConfig:
    return ConsumerConfig(
        name=name,
        durable_name=name,
        ack_policy=AckPolicy.EXPLICIT,
        # A message is given up by the engine, which counts and says so, not by the server.
        max_deliver=-1,
        filter_subjects=filters,
    )


async def _ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    async def attempt() -> None:
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != NAME_IN_USE:
                raise
            await js.update_stream(replace(config, subjects=await _subjects_too(js, config)))

    await patiently(f"make the stream {config.name}", attempt, codes=MADE_ALREADY)


async def _subjects_too(js: JetStreamContext, config: StreamConfig) -> list[str]:
    # A replica of the previous build that starts during a deployment must not take the newer
    # build's kinds out of the stream; taking a subject away is left to the operator.
    there = (await js.stream_info(config.name or "")).config.subjects or []
    return sorted({*there, *(config.subjects or [])})


async def _ensure_consumer(js: JetStreamContext, stream: str, config: ConsumerConfig) -> None:
    async def attempt() -> None:
        await js.add_consumer(stream, config)

    await patiently(f"make the consumer {config.durable_name}", attempt, codes=MADE_ALREADY)
