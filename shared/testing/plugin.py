"""Fixtures for workflow tests: pytest_plugins = ["shared.testing.plugin"] in a conftest.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from shared.testing.harness import Harness, OpenHarness
from shared.testing.worlds import Servers, servers_for_tests


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """The PostgreSQL and the nats-server of the whole test run."""
    async with servers_for_tests() as servers:
        yield servers


@pytest.fixture(params=["memory", "servers"])
def open_harness(request: pytest.FixtureRequest) -> OpenHarness:
    """Opens a harness; the test runs twice, in memory and on servers."""
    if request.param == "memory":
        return Harness.in_memory
    return partial(Harness.on_servers, servers=request.getfixturevalue("servers"))
