"""Fixtures for all tiers: real servers, shared or of a test's own, and fresh databases."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import services
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.runtime.logging import configure
from shared.testing.nats_cluster import NatsCluster
from shared.testing.servers import (
    Databases,
    Server,
    delete_streams,
    embedded_nats,
    embedded_nats_cluster,
    embedded_postgres,
    nats_for_tests,
    postgres_for_tests,
)
from shared.testing.worlds import Servers

MakeDatabase = Callable[[str], Awaitable[str]]

pytest_plugins = ["shared.testing.plugin"]


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker that ties a test to the rules it shows; logs as a service does."""
    config.addinivalue_line("markers", "rule(*ids): the rules of the specification it shows")
    configure("tests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test's id carries the rules it shows, so that `-k engine-12` selects by them."""
    rules = [rule for mark in metafunc.definition.iter_markers("rule") for rule in mark.args]
    if rules:
        metafunc.fixturenames.append("rules")
        metafunc.parametrize("rules", [rules], ids=["+".join(rules)], indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests tell with `record_property`: how many points a sweep had, a storm's seed."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture
def rules(request: pytest.FixtureRequest) -> list[str]:
    """The rules that the test shows."""
    shown: list[str] = request.param
    return shown


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncIterator[Server]:
    """The PostgreSQL of the whole test run; `url` is its superuser's."""
    async with postgres_for_tests() as server:
        yield server


@pytest.fixture(scope="session")
async def nats_server() -> AsyncIterator[Server]:
    """The nats-server of the whole test run. Tests use `nats_url`, which finds it empty."""
    async with nats_for_tests() as server:
        yield server


@pytest.fixture(scope="session")
async def databases(postgres_server: Server) -> AsyncIterator[Databases]:
    """Makes databases by `create(service, directories)`."""
    made = Databases(postgres_server.url)
    yield made
    await made.drop_all()


@pytest.fixture(scope="session")
async def servers(databases: Databases, nats_server: Server) -> Servers:
    """Those of the whole test run, for harnesses."""
    return Servers(databases, nats_server.url)


@pytest.fixture
async def make_database(databases: Databases) -> AsyncIterator[MakeDatabase]:
    """`url = await make_database("player")`: a migrated database of the test's own."""
    urls: list[str] = []

    async def make(service: str) -> str:
        own_sql = Path(services.__path__[0]) / service / "sql"
        urls.append(await databases.create(service, {"engine": ENGINE_SQL, service: own_sql}))
        return urls[-1]

    yield make
    for url in urls:
        await databases.drop(url)


@pytest.fixture
async def nats_url(nats_server: Server) -> str:
    """The shared nats-server without any stream."""
    await delete_streams(nats_server.url)
    return nats_server.url


@pytest.fixture
async def own_nats() -> AsyncIterator[EmbeddedNats]:
    """A nats-server of the test's own, which it may kill and start again."""
    async with embedded_nats() as server:
        yield server


@pytest.fixture
async def own_nats_cluster() -> AsyncIterator[NatsCluster]:
    """Three nats-servers of the test's own, a cluster that replicates its streams."""
    async with embedded_nats_cluster() as cluster:
        yield cluster


@pytest.fixture
async def own_postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of the test's own, which it may kill and start again."""
    async with embedded_postgres() as server:
        yield server


@pytest.fixture(params=["UTC", "America/New_York", "Pacific/Auckland"])
def host_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The time zone of the machine that the rules run on."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()
