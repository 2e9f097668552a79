"""How PostgreSQL carries out a statement: counted, where a time would be the machine's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import asyncpg
import msgspec

from shared.workflow.ports import Connection

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


Statement = tuple[str, tuple[Any, ...]]


class Plan(msgspec.Struct, frozen=True):
    """What a statement read."""

    scans: list[str]
    """The indexes that it looked into, in order, or "table" for a table that it read as a whole."""
    in_vain: int
    """Rows that were read and not wanted."""
    rows: int
    """What came of it."""
    pages: int
    """Of tables and indexes, whether in memory or not."""


async def plan_of(pool: asyncpg.Pool[asyncpg.Record], statement: str, *args: object) -> Plan:
    """Carries the statement out, and takes back what it changed."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            text = await connection.fetchval(EXPLAIN + statement, *args)
        finally:
            await transaction.rollback()
    root = msgspec.json.decode(text)[0]["Plan"]
    nodes = list(_nodes(root))
    return Plan(
        scans=[each.get("Index Name", "table") for each in nodes if _scans(each)],
        rows=int(root["Actual Rows"]),
        in_vain=sum(each.get("Rows Removed by Filter", 0) for each in nodes),
        pages=root["Shared Hit Blocks"] + root["Shared Read Blocks"],
    )


async def statements_of(ask: Callable[[Connection], Awaitable[object]]) -> list[Statement]:
    """What a store asks a database in which nothing is found."""
    recorder = _Recorder()
    await ask(recorder)
    return recorder.statements


class _Recorder:
    """See Connection: finds nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    async def execute(self, query: str, *args: Any) -> str:
        self.statements.append((query, args))
        return ""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        self.statements.append((query, args))
        return []

    async def fetchrow(self, query: str, *args: Any) -> None:
        self.statements.append((query, args))

    async def fetchval(self, query: str, *args: Any) -> None:
        self.statements.append((query, args))


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _scans(node: Mapping[str, Any]) -> bool:
    """Whether the node reads a table, or an index alone, and was reached."""
    return node["Node Type"].endswith(("Seq Scan", "Index Scan", "Index Only Scan")) and bool(
        node["Actual Loops"]
    )
