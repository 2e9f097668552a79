"""Each NATS user does its own work and nothing else, tried on a real server.

What is tried follows from the topology; what may succeed is written down here by hand.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from nats.aio.client import Client

from shared.jetstream import topology
from shared.jetstream.authorization import authorization, quoted
from shared.jetstream.rights import users
from shared.messages import subjects
from shared.runtime.embedded.nats import EmbeddedNats
from shared.testing.servers import embedded_nats

SERVICES = {"player": ["player"], "billing": ["customer", "renewal"], "maintenance": ["system"]}
USERS = ("player", "billing", "maintenance", "gateway", "publisher", "operator")
PASSWORD = "a-password"
DENIAL = re.compile(r"nats: permissions violation for (?:publish|subscription) to \"(.*)\"")

LAST = "nobody.may"
"""Denied to everybody. The server answers in order, so what comes before it has been answered; a
flush shows less, since its PING overtakes what waits in the client."""

ANY_KIND = "(player|customer|renewal|system)"
ANY_SERVICE = "(player|billing|maintenance)"
ANY_STREAM = (
    r"(WORKFLOWS_PLAYER|WORKFLOWS_BILLING|WORKFLOWS_MAINTENANCE|INGEST|EVENTS|KV_workflow-status)"
)


def of_service(name: str, stream: str, kind: str) -> list[str]:
    """What a service may publish."""
    consumer = rf"{stream}\.{name}-(starts|wakes|controls)"
    return [
        rf"workflows\.{kind}\.(start|wake|signal\.one|control)",
        rf"(events\.{name}\.one|ingest\.{name}\.(one|one\.two))",
        rf"\$KV\.workflow-status\.{kind}\.one",
        rf"\$JS\.API\.DIRECT\.GET\.KV_workflow-status\.\$KV\.workflow-status\.{kind}\.one",
        rf"\$JS\.API\.STREAM\.MSG\.GET\.({stream}|KV_workflow-status)",
        rf"\$JS\.API\.DIRECT\.GET\.{stream}(\..*)?",
        rf"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO)\.({stream}|INGEST|EVENTS|KV_workflow-status)",
        rf"\$JS\.API\.CONSUMER\.(CREATE|MSG\.NEXT)\.{consumer}",
        rf"\$JS\.API\.CONSUMER\.CREATE\.INGEST\.{name}-ingest\.ingest\.{name}\.>",
        rf"\$JS\.API\.CONSUMER\.MSG\.NEXT\.INGEST\.{name}-ingest",
        rf"\$JS\.ACK\.({consumer}|INGEST\.{name}-ingest)\.1\.1\.1\.1\.1",
        r"_INBOX\.(gateway|publisher|operator|maintenance)\.one",
    ]


MAY_PUBLISH = {
    "player": of_service("player", "WORKFLOWS_PLAYER", "player"),
    "billing": of_service("billing", "WORKFLOWS_BILLING", "(customer|renewal)"),
    "maintenance": [
        *of_service("maintenance", "WORKFLOWS_MAINTENANCE", "system"),
        rf"(commands|queries)\.{ANY_SERVICE}\.\w+",
        r"\$O\.person-exports\.(C|M)\.one",
        r"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO|PURGE|MSG\.GET)\.OBJ_person-exports",
        r"\$JS\.API\.DIRECT\.GET\.OBJ_person-exports(\..*)?",
        r"\$KV\.caches\.one\.generation",
        r"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO|PURGE|MSG\.GET)\.KV_caches",
        rf"events\.{ANY_SERVICE}\.one",
        r"\$JS\.API\.CONSUMER\.(CREATE|MSG\.NEXT|INFO)\.EVENTS\.maintenance-events",
        r"\$JS\.ACK\.EVENTS\.maintenance-events\.1\.1\.1\.1\.1",
        rf"\$JS\.API\.(INFO|STREAM\.INFO\.{ANY_STREAM})",
        rf"\$JS\.API\.CONSUMER\.INFO\.WORKFLOWS_\w+\.{ANY_SERVICE}-(starts|wakes|controls)",
        rf"\$JS\.API\.CONSUMER\.INFO\.INGEST\.{ANY_SERVICE}-ingest",
        r"\$O\.log-archive\.[CM]\.one",
        r"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO|PURGE|MSG\.GET)\.OBJ_log-archive",
    ],
    "gateway": [
        r"\$JS\.API\.STREAM\.MSG\.GET\.OBJ_person-exports",
        rf"workflows\.{ANY_KIND}\.(start|signal\.one|control)",
        rf"(commands|queries)\.{ANY_SERVICE}\.\w+",
        rf"\$KV\.workflow-status\.{ANY_KIND}\.one",
        rf"\$JS\.API\.DIRECT\.GET\.KV_workflow-status\.\$KV\.workflow-status\.{ANY_KIND}\.one",
        r"\$JS\.API\.STREAM\.MSG\.GET\.KV_workflow-status",
        rf"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO)\.{ANY_STREAM}",
        r"\$KV\.caches\.one\.(generation|one\.one)",
        r"\$JS\.API\.DIRECT\.GET\.KV_caches\.\$KV\.caches\..*",
        r"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO|MSG\.GET)\.KV_caches",
    ],
    "publisher": [
        rf"workflows\.{ANY_KIND}\.(start|signal\.one)",
        rf"ingest\.{ANY_SERVICE}\.one",
        rf"queries\.{ANY_SERVICE}\.instance",
    ],
    "operator": [
        rf"workflows\.{ANY_KIND}\.(start|wake|signal\.one|control)",
        rf"(events\.{ANY_SERVICE}\.one|ingest\.{ANY_SERVICE}\.(one|one\.two))",
        rf"(commands|queries)\.{ANY_SERVICE}\.\w+",
        r"\$SRV\..*",
        rf"\$KV\.workflow-status\.{ANY_KIND}\.one",
        rf"\$JS\.API\.DIRECT\.GET\.KV_workflow-status\.\$KV\.workflow-status\.{ANY_KIND}\.one",
        rf"\$JS\.API\.STREAM\.(CREATE|UPDATE|INFO|MSG\.GET)\.{ANY_STREAM}",
        r"\$JS\.API\.CONSUMER\.CREATE\.WORKFLOWS_PLAYER\.player-(starts|wakes|controls)",
        r"\$JS\.API\.CONSUMER\.CREATE\.WORKFLOWS_BILLING\.billing-(starts|wakes|controls)",
        r"\$JS\.API\.CONSUMER\.CREATE\.WORKFLOWS_MAINTENANCE\.maintenance-(starts|wakes|controls)",
        r"\$JS\.API\.CONSUMER\.CREATE\.INGEST\.maintenance-ingest\.ingest\.maintenance\.>",
        r"\$JS\.API\.CONSUMER\.CREATE\.INGEST\.player-ingest\.ingest\.player\.>",
        r"\$JS\.API\.CONSUMER\.CREATE\.INGEST\.billing-ingest\.ingest\.billing\.>",
        rf"\$JS\.API\.CONSUMER\.(NAMES|LIST|INFO)\.{ANY_STREAM}(\.[\w-]+)?",
        r"\$JS\.API\.(INFO|STREAM\.(NAMES|LIST))",
        r"\$JS\.API\.STREAM\.(INFO|MSG\.GET)\.OBJ_log-archive",
    ],
}
MAY_SUBSCRIBE = {
    **{
        service: [
            rf"(commands|queries)\.{service}\.\w+",
            rf"\$SRV\.(PING|INFO|STATS)(\.{service}(\.one)?)?",
            rf"_INBOX\.{service}\.one",
        ]
        for service in SERVICES
    },
    "gateway": [r"_INBOX\.gateway\.one"],
    "publisher": [rf"events\.{ANY_SERVICE}\.one", r"_INBOX\.publisher\.one"],
    "operator": [
        rf"events\.{ANY_SERVICE}\.one",
        rf"\$KV\.workflow-status\.{ANY_KIND}\.one",
        r"_INBOX\.operator\.one",
    ],
}


CLOCK = {"clock.set", "clock.report", "clock.report.one"}
KEEPS_CLOCK = [r"clock\.(set|report|report\.one)"]
"""What every process does besides where business time is virtual; nobody does elsewhere."""


def one_of(pattern: str) -> str:
    """A subject that the pattern matches."""
    return pattern.replace("*", "one").replace(">", "one")


def tried() -> set[str]:
    """Every subject of the topology, what stands around it, and some of nobody."""
    found = {f"_INBOX.{user}.one" for user in USERS} | {"_INBOX.one.two"}
    found |= {"workflows.unknown.start", "events.unknown.one", "$KV.other-bucket.player.one"}
    found |= {"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$SYS.REQ.USER.INFO"}
    found |= CLOCK
    for verb in ("PING", "INFO", "STATS"):
        found |= {f"$SRV.{verb}"}
        found |= {f"$SRV.{verb}.{name}{instance}" for name in USERS for instance in ("", ".one")}
    for service, kinds in SERVICES.items():
        for each in (subjects.command, subjects.query, subjects.event, subjects.ingest):
            found |= {each(service, "one"), each(service, "one.two")}
        found.add(subjects.instance_query(service))
        for kind in kinds:
            found.add(subjects.status_subject(subjects.status_key(kind, "one")))
        for config in topology.streams(service, kinds):
            found |= set(map(one_of, config.subjects or []))
    found |= {subjects.cache_generation("one"), subjects.cache_entry("one", "one", "one")}
    archive = topology.objects_bucket(subjects.LOG_ARCHIVE_BUCKET)
    found |= set(map(one_of, archive.subjects or []))
    return found | set(api_subjects(found))


def api_subjects(kept: set[str]) -> Iterator[str]:
    """The requests about all streams and consumers, those that nobody may make included."""
    of_stream = ("CREATE", "UPDATE", "INFO", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE")
    of_consumer = ("CREATE", "DURABLE.CREATE", "INFO", "DELETE", "MSG.NEXT", "PAUSE", "UNPIN")
    pairs = [
        (stream, config.name)
        for service, kinds in SERVICES.items()
        for stream, config in topology.consumers(service, kinds, [subjects.event("*", "*")])
    ]
    streams = {
        config.name
        for service, kinds in SERVICES.items()
        for config in topology.streams(service, kinds)
    }
    archive = subjects.objects_stream(subjects.LOG_ARCHIVE_BUCKET)
    for stream in (*streams, subjects.CACHES_STREAM, archive):
        yield from (f"$JS.API.STREAM.{verb}.{stream}" for verb in (*of_stream, "SNAPSHOT"))
        yield from (f"$JS.API.CONSUMER.{verb}.{stream}" for verb in ("NAMES", "LIST", "CREATE"))
        yield f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}"
        yield f"$JS.API.CONSUMER.CREATE.{stream}.intruder"
        yield f"$JS.API.DIRECT.GET.{stream}"
        yield from (
            f"$JS.API.DIRECT.GET.{stream}.{subject}"
            for subject in kept
            if subject.startswith(("workflows.", "$KV."))
        )
    for stream, consumer in pairs:
        yield from (f"$JS.API.CONSUMER.{verb}.{stream}.{consumer}" for verb in of_consumer)
        yield from (
            f"$JS.API.CONSUMER.CREATE.{stream}.{consumer}.ingest.{service}.>"
            for service in SERVICES
        )
        yield f"$JS.ACK.{stream}.{consumer}.1.1.1.1.1"


class Visitor:
    """One user's connection, which remembers what it was denied."""

    def __init__(self) -> None:
        self.client = Client()
        self._denied: list[str] = []
        self._all_told = asyncio.Event()

    async def connect(self, url: str) -> None:
        await self.client.connect(url, error_cb=self._remember)

    async def publish(self, subject: str) -> None:
        await self.client.publish(subject)

    async def subscribe(self, subject: str) -> None:
        await self.client.subscribe(subject)

    async def succeeds(self, attempt: Callable[[str], Awaitable[object]]) -> set[str]:
        """The subjects with which the attempt is not denied."""
        for subject in (*tried(), LAST):
            await attempt(subject)
        async with asyncio.timeout(10):
            await self._all_told.wait()
        return {subject for subject in tried() if subject.lower() not in self._denied}

    async def _remember(self, error: Exception) -> None:
        # The library tells it in lower case.
        match = DENIAL.fullmatch(str(error))
        assert match, error
        self._denied.append(match[1])
        if match[1] == LAST:
            self._all_told.set()


@pytest.fixture
def virtual_clock() -> bool:
    return False


@pytest.fixture
async def server(virtual_clock: bool) -> AsyncIterator[EmbeddedNats]:
    known = users(SERVICES, virtual_clock=virtual_clock)
    async with embedded_nats(authorization(known, lambda _: quoted(PASSWORD))) as server:
        yield server


Visit = Callable[[str], Awaitable[Visitor]]


@pytest.fixture
async def visit(server: EmbeddedNats) -> AsyncIterator[Visit]:
    visitors: list[Visitor] = []

    async def visit(user: str) -> Visitor:
        visitors.append(Visitor())
        await visitors[-1].connect(server.url_as(user, PASSWORD))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        await visitor.client.close()


def matching(rules: list[str]) -> set[str]:
    return {subject for subject in tried() if any(re.fullmatch(rule, subject) for rule in rules)}


@pytest.mark.parametrize("user", USERS)
async def test_a_user_publishes_its_own_subjects_and_no_other(visit: Visit, user: str) -> None:
    visitor = await visit(user)

    assert await visitor.succeeds(visitor.publish) == matching(MAY_PUBLISH[user])


@pytest.mark.parametrize("user", USERS)
async def test_a_user_subscribes_to_its_own_subjects_and_no_other(visit: Visit, user: str) -> None:
    visitor = await visit(user)

    assert await visitor.succeeds(visitor.subscribe) == matching(MAY_SUBSCRIBE[user])


@pytest.mark.rule("engine-29")
@pytest.mark.parametrize("virtual_clock", [True])
@pytest.mark.parametrize("user", USERS)
async def test_on_a_virtual_clock_every_process_keeps_it_and_the_operator_moves_it(
    visit: Visit, virtual_clock: bool, user: str
) -> None:
    visitor = await visit(user)
    is_process = user in {*SERVICES, "gateway"}
    asks = [] if user == "publisher" else KEEPS_CLOCK
    hears = KEEPS_CLOCK if is_process else []
    answers = [r"_INBOX\.\w+\.\w+"] if is_process else []

    published = matching([*MAY_PUBLISH[user], *asks, *answers])
    assert await visitor.succeeds(visitor.publish) == published
    visitor = await visit(user)
    assert await visitor.succeeds(visitor.subscribe) == matching([*MAY_SUBSCRIBE[user], *hears])
