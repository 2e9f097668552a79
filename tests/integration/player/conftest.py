"""A game on a PostgreSQL of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.postgres.pool import create_pool
from tests.integration.player.game import Game

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def game(make_database: MakeDatabase) -> AsyncIterator[Game]:
    """A game without players."""
    pool = await create_pool(
        await make_database("player"), size=10, name="game", idle_timeout_seconds=30
    )
    yield Game(pool)
    pool.terminate()
