"""Every name on NATS: subjects, streams, consumers, buckets, headers. Nothing else spells one."""

from __future__ import annotations

from base64 import urlsafe_b64encode

# Headers. The first is NATS's own, the next two are W3C Trace Context's; the others are ours.
MESSAGE_ID = "Nats-Msg-Id"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
WORKFLOW_ID = "Workflow-Id"
ACTOR = "Workflow-Actor"
IDEMPOTENCY_KEY = "Idempotency-Key"
BODY_HASH = "Workflow-Body-Hash"
CREATED_AT = "Workflow-Created-At"
PARENT = "Workflow-Parent"
"""The run that started a child: kind.id/run."""
STATUS_REVISION = "Workflow-Status-Revision"
"""Revision of the status key that the gateway created, so that the first put needs no read."""

EVENTS_STREAM = "EVENTS"
INGEST_STREAM = "INGEST"
STATUS_BUCKET = "workflow-status"
STATUS_STREAM = f"KV_{STATUS_BUCKET}"
"""The stream under the bucket, as every NATS client names it."""
LOG_ARCHIVE_BUCKET = "log-archive"
"""Object store of the log segments that are kept for long."""
PERSON_EXPORTS_BUCKET = "person-exports"
"""Object store of what was exported about persons, for a few days."""
CACHES_BUCKET = "caches"
CACHES_STREAM = f"KV_{CACHES_BUCKET}"


def start(kind: str) -> str:
    """Commands that start an instance of `kind`."""
    return f"workflows.{kind}.start"


def wake(kind: str) -> str:
    """Commands that have an unfinished instance looked at again."""
    return f"workflows.{kind}.wake"


def signal(kind: str, workflow_id: str) -> str:
    """Messages to one instance: a subject each, so that its signals can be read in order."""
    return f"workflows.{kind}.signal.{workflow_id}"


def signals(kind: str) -> str:
    """The signals of every instance of `kind`."""
    return signal(kind, "*")


def control(kind: str) -> str:
    """Requests to pause, resume, terminate or restart an instance of `kind`."""
    return f"workflows.{kind}.control"


def parts(subject: str) -> tuple[str, str, str]:
    """Kind, action and, of a signal, the instance's id, from a subject of a workflow; empty where
    there is none."""
    _, kind, action, workflow_id, *_ = [*subject.split(".", 3), "", "", ""]
    return kind, action, workflow_id


def workflows_stream(service: str) -> str:
    """The work queue of one service's commands."""
    return f"WORKFLOWS_{service.upper()}"


def starts_consumer(service: str) -> str:
    """Durable consumer of a service's starts."""
    return f"{service}-starts"


def wakes_consumer(service: str) -> str:
    """Durable consumer of a service's wakes and signals: apart, so that a backlog of starts delays
    no timer."""
    return f"{service}-wakes"


def controls_consumer(service: str) -> str:
    """Durable consumer of a service's controls: apart, so that no backlog delays a pause."""
    return f"{service}-controls"


def ingest_consumer(service: str) -> str:
    """Durable consumer of the business facts that a service takes."""
    return f"{service}-ingest"


def events_consumer(service: str) -> str:
    """Durable consumer of the facts of others that a service hears."""
    return f"{service}-events"


def event(service: str, name: str) -> str:
    """A fact that a service publishes."""
    return f"events.{service}.{name}"


def ingest(service: str, name: str) -> str:
    """A business fact from outside, for a service."""
    return f"ingest.{service}.{name}"


def command(service: str, name: str) -> str:
    """Request that changes an entity of a service."""
    return f"commands.{service}.{name}"


def query(service: str, name: str) -> str:
    """Request that reads from a service."""
    return f"queries.{service}.{name}"


def instance_query(service: str) -> str:
    """Request for one instance as its journal has it."""
    return query(service, "instance")


def inbox(user: str) -> str:
    """Where a NATS user hears answers and deliveries: a prefix of its own, so that no other user
    can listen in."""
    return f"_INBOX.{user}"


def status_key(kind: str, workflow_id: str) -> str:
    """Key of an instance in the status bucket."""
    return f"{kind}.{workflow_id}"


def status_subject(key: str) -> str:
    """Where the status bucket keeps a key, as every NATS client does."""
    return f"$KV.{STATUS_BUCKET}.{key}"


def objects_stream(bucket: str) -> str:
    """The stream under an object store, as every NATS client names it."""
    return f"OBJ_{bucket}"


def object_chunks(bucket: str, upload: str) -> str:
    """The pieces of one upload of an object."""
    return f"$O.{bucket}.C.{upload}"


def object_entry(bucket: str, name: str) -> str:
    """What an object store knows of an object beside its pieces."""
    return f"$O.{bucket}.M.{urlsafe_b64encode(name.encode()).decode()}"


def object_entries(bucket: str) -> str:
    """The same of every object."""
    return f"$O.{bucket}.M.>"


def cache_subjects() -> str:
    """All that the caches' bucket keeps."""
    return f"$KV.{CACHES_BUCKET}.>"


def cache_generation(namespace: str) -> str:
    """Where the caches' bucket keeps the generation of a namespace."""
    return f"$KV.{CACHES_BUCKET}.{namespace}.generation"


def cache_entry(namespace: str, generation: str, key: str) -> str:
    """Where the caches' bucket keeps a value; each part is one token."""
    return f"$KV.{CACHES_BUCKET}.{namespace}.{generation}.{key}"


def clock_set() -> str:
    """Moves the virtual clock of every process; on core NATS, and each answers for itself."""
    return "clock.set"


def clock_report(member: str | None = None) -> str:
    """Asks every process how it stands, or one alone; on core NATS."""
    return "clock.report" if member is None else f"clock.report.{member}"
