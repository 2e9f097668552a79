"""Who may do what on NATS: each user with the subjects of its work, and no others.

All of it follows from the topology, so that a new kind or service brings its rights along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nats.micro.service import DEFAULT_PREFIX as SERVICES_API

from shared.jetstream import topology
from shared.messages import subjects

GATEWAY = "gateway"
PUBLISHER = "publisher"
"""A game, or whoever else talks to NATS from outside."""
OPERATOR = "operator"
"""Whoever sits at the command line."""
MAINTENANCE = "maintenance"
"""The service that asks the others."""
ASKERS = (GATEWAY, PUBLISHER, OPERATOR, MAINTENANCE)

API = "$JS.API"


@dataclass(frozen=True)
class Right:
    """The subjects that one piece of a user's work needs."""

    purpose: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """A user of the server."""

    name: str
    rights: tuple[Right, ...]


def users(
    services: Mapping[str, Iterable[str]], *, virtual_clock: bool = False
) -> tuple[User, ...]:
    """One for each service, given with its kinds, and one for each of the others.

    Only where business time is virtual may anybody move it, and answer for it.
    """
    found = (
        *(
            _maintenance(services) if name == MAINTENANCE else _service(name, tuple(kinds))
            for name, kinds in services.items()
        ),
        _gateway(services),
        _publisher(services),
        _operator(services),
    )
    return tuple(map(_on_virtual_clock, found)) if virtual_clock else found


def _on_virtual_clock(user: User) -> User:
    asked = (subjects.clock_set(), subjects.clock_report(), subjects.clock_report("*"))
    if user.name == PUBLISHER:
        return user
    if user.name == OPERATOR:
        return User(user.name, (*user.rights, Right("advance the clock", asked)))
    # A process that starts asks the others, so each answers whoever asks.
    answered = Right("keep the clock", (*asked, f"{subjects.inbox('*')}.>"), asked)
    return User(user.name, (*user.rights, answered))


def _service(name: str, kinds: tuple[str, ...]) -> User:
    queue = subjects.workflows_stream(name)
    pulled = [f"{stream}.{each.name}" for stream, each in topology.consumers(name, kinds)]
    requests = (subjects.command(name, "*"), subjects.query(name, "*"))
    introductions = tuple(f"{SERVICES_API}.{rest}" for rest in ("*", f"*.{name}", f"*.{name}.*"))
    return User(
        name,
        (
            Right("ask for its own workflows", _commands(kinds)),
            Right("tell facts", (subjects.event(name, "*"),)),
            Right("have a dead letter taken again", _facts([name])),
            Right("keep the status of its instances", _status(kinds)),
            Right("make its streams", _make_streams({name: kinds})),
            Right("make its consumers", _make_consumers({name: kinds})),
            Right("take deliveries", tuple(f"{API}.CONSUMER.MSG.NEXT.{each}" for each in pulled)),
            Right("settle deliveries", tuple(f"$JS.ACK.{each}.>" for each in pulled)),
            Right("look into its own stream", (_read(queue), *_read_directly(queue))),
            Right("take requests", subscribe=(*requests, *introductions)),
            # Not `allow_responses`: it has a service answer on any subject that the asker names.
            Right("answer requests", tuple(map(_within_inbox, ASKERS))),
            _hear(name),
        ),
    )


def _maintenance(services: Mapping[str, Iterable[str]]) -> User:
    own = _service(MAINTENANCE, tuple(services[MAINTENANCE]))
    return User(own.name, (*own.rights, *beside_a_service(services)))


def beside_a_service(services: Mapping[str, Iterable[str]]) -> tuple[Right, ...]:
    """What maintenance may do besides what every service does."""
    consumer = f"{subjects.EVENTS_STREAM}.{subjects.events_consumer(MAINTENANCE)}"
    of_consumer = tuple(f"{API}.CONSUMER.{verb}.{consumer}" for verb in ("CREATE", "MSG.NEXT"))
    consumers = (
        f"{API}.CONSUMER.INFO.{stream}.{each.name}"
        for service, kinds in services.items()
        for stream, each in topology.consumers(service, kinds)
    )
    streams = (f"{API}.STREAM.INFO.{stream}" for stream in _streams(services))
    return (
        Right("ask the owners", _requests(services)),
        Right(
            "empty the caches",
            (
                *_caches(subjects.cache_generation("*")),
                f"{API}.STREAM.PURGE.{subjects.CACHES_STREAM}",
            ),
        ),
        Right("take the facts of all services", (*of_consumer, f"$JS.ACK.{consumer}.>")),
        Right("know whether it has them all", (f"{API}.CONSUMER.INFO.{consumer}",)),
        Right("have a dead fact taken again", _events(services)),
        Right("look at JetStream's health", (f"{API}.INFO", *streams, *consumers)),
        Right("keep the log's archive", _keep_objects(subjects.LOG_ARCHIVE_BUCKET)),
        Right("keep exports of persons", _keep_objects(subjects.PERSON_EXPORTS_BUCKET)),
    )


def _gateway(services: Mapping[str, Iterable[str]]) -> User:
    kinds = _kinds(services)
    return User(
        GATEWAY,
        (
            Right("start workflows", tuple(map(subjects.start, kinds))),
            Right("signal workflows", tuple(map(subjects.signals, kinds))),
            Right("control workflows", tuple(map(subjects.control, kinds))),
            Right("create and read statuses", _status(kinds)),
            Right("ask services", _requests(services)),
            Right(
                "hand over what was exported about persons",
                (_read(subjects.objects_stream(subjects.PERSON_EXPORTS_BUCKET)),),
            ),
            Right("make the streams that keep starts", _make_streams(services)),
            Right(
                "read through the caches",
                (
                    *_caches(subjects.cache_subjects()),
                    *_read_directly(subjects.CACHES_STREAM, [subjects.cache_subjects()]),
                ),
            ),
            _hear(GATEWAY),
        ),
    )


def _publisher(services: Mapping[str, Iterable[str]]) -> User:
    kinds = _kinds(services)
    return User(
        PUBLISHER,
        (
            Right("start workflows", tuple(map(subjects.start, kinds))),
            Right("signal workflows", tuple(map(subjects.signals, kinds))),
            Right("report facts", tuple(subjects.ingest(service, "*") for service in services)),
            Right("ask for an instance", tuple(map(subjects.instance_query, services))),
            Right("hear facts", subscribe=_events(services)),
            _hear(PUBLISHER),
        ),
    )


def _operator(services: Mapping[str, Iterable[str]]) -> User:
    kinds = _kinds(services)
    streams = _streams(services)
    overviews = ("INFO", "STREAM.NAMES", "STREAM.LIST")
    of_streams = ("CONSUMER.NAMES.{}", "CONSUMER.LIST.{}", "CONSUMER.INFO.{}.*")
    return User(
        OPERATOR,
        (
            Right("ask services", (*_requests(services), f"{SERVICES_API}.>")),
            Right("ask for workflows", _commands(kinds)),
            Right("tell again what was lost", (*_events(services), *_facts(services))),
            Right("put lost statuses again", _status(kinds)),
            Right("make lost streams again", _make_streams(services)),
            Right("make lost consumers again", _make_consumers(services)),
            Right("survey JetStream", tuple(f"{API}.{each}" for each in overviews)),
            Right(
                "survey consumers",
                tuple(f"{API}.{each.format(on)}" for on in streams for each in of_streams),
            ),
            Right("look into streams", tuple(map(_read, streams))),
            Right("read the log's archive", _read_objects(subjects.LOG_ARCHIVE_BUCKET)),
            Right("watch facts", subscribe=_events(services)),
            Right("watch statuses", subscribe=_status_keys(kinds)),
            _hear(OPERATOR),
        ),
    )


# -- the subjects of one piece of work ----------------------------------------------------------


def _commands(kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(subject for kind in kinds for subject in topology.commands(kind))


def _events(services: Iterable[str]) -> tuple[str, ...]:
    return tuple(subjects.event(service, "*") for service in services)


def _facts(services: Iterable[str]) -> tuple[str, ...]:
    # Of whatever name: a dead letter has the name that nobody knew.
    return tuple(subjects.ingest(service, ">") for service in services)


def _requests(services: Iterable[str]) -> tuple[str, ...]:
    askable = (subjects.command, subjects.query)
    return tuple(each(service, "*") for service in services for each in askable)


def _status(kinds: Iterable[str]) -> tuple[str, ...]:
    keys = _status_keys(kinds)
    stream = subjects.STATUS_STREAM
    # The read that asks the leader names its key in the body, where no right can reach.
    return (*keys, *_read_directly(stream, keys), _read(stream))


def _status_keys(kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(subjects.status_subject(subjects.status_key(kind, "*")) for kind in kinds)


def _make_streams(services: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    verbs = ("CREATE", "UPDATE", "INFO")
    return tuple(f"{API}.STREAM.{verb}.{each}" for each in _streams(services) for verb in verbs)


def _make_consumers(services: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    return tuple(
        # With its only filter, where it has but one: of a shared stream a service gets its part.
        ".".join(filter(None, (f"{API}.CONSUMER.CREATE", stream, each.name, each.filter_subject)))
        for service, kinds in services.items()
        for stream, each in topology.consumers(service, kinds)
    )


def _caches(written: str) -> tuple[str, ...]:
    stream = subjects.CACHES_STREAM
    made = (f"{API}.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "INFO"))
    return (written, _read(stream), *made)


def _read(stream: str) -> str:
    return f"{API}.STREAM.MSG.GET.{stream}"


def _read_directly(stream: str, under: Iterable[str] | None = None) -> tuple[str, ...]:
    """By any replica: messages under these subjects, else all."""
    root = f"{API}.DIRECT.GET.{stream}"
    return (root, f"{root}.>") if under is None else tuple(f"{root}.{each}" for each in under)


def _keep_objects(bucket: str) -> tuple[str, ...]:
    stream = subjects.objects_stream(bucket)
    return (
        subjects.object_chunks(bucket, "*"),
        subjects.object_entries(bucket),
        *(f"{API}.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "PURGE")),
        *_read_objects(bucket),
    )


def _read_objects(bucket: str) -> tuple[str, ...]:
    stream = subjects.objects_stream(bucket)
    return (f"{API}.STREAM.INFO.{stream}", _read(stream))


def _within_inbox(user: str) -> str:
    return f"{subjects.inbox(user)}.>"


def _hear(user: str) -> Right:
    return Right("hear answers and deliveries", subscribe=(_within_inbox(user),))


def _streams(services: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    made = (topology.streams(service, kinds) for service, kinds in services.items())
    # Each once: all services share most of them.
    return tuple(dict.fromkeys(str(stream.name) for streams in made for stream in streams))


def _kinds(services: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    return tuple(kind for kinds in services.values() for kind in kinds)
