"""Connection pools with the session settings that the engine's rules ask for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    # Generic in its stubs alone.
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

LOCK_TIMEOUT_SECONDS = 2.0

SILENCE = {
    "TCP_KEEPIDLE": 10,  # seconds
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 2,
    "TCP_USER_TIMEOUT": 20_000,  # milliseconds
}
"""When a server that vanished without a word is given up. Without it a worker would wait for its
answer for ever, keep its message alive meanwhile, and nobody else would ever run the instance."""


class EngineConnection(Connection):
    """A connection that is given back without the round trip of a reset.

    Engine transactions leave nothing behind: settings are SET LOCAL, locks end with the
    transaction, and no listener or cursor outlives it.
    """

    def __init__(self, protocol: Any, transport: Any, *args: Any, **options: Any):
        super().__init__(protocol, transport, *args, **options)
        _notice_silence(transport.get_extra_info("socket"))

    def get_reset_query(self) -> str:
        """Nothing to reset."""
        return ""


def _notice_silence(connection: socket.socket) -> None:
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SILENCE.items():
        # Not every system has each of them.
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def create_pool(
    url: str, *, size: int, name: str, idle_timeout_seconds: float, plans_anew: bool = False
) -> asyncpg.Pool[asyncpg.Record]:
    """A pool of `size` connections, opened as they are needed.

    `idle_timeout_seconds` is the lease: the server cuts off a frozen worker's open transaction
    after it (engine rule 6). Nothing waits for a lock longer than LOCK_TIMEOUT_SECONDS.
    With `plans_anew` each execution gets a plan for its table as it is now. Else one that was made
    while the table was empty is kept until the table is analysed, however much comes into it.
    """
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        connection_class=EngineConnection,
        # A connection that is idle for long is kept: opening one costs more than keeping it.
        max_inactive_connection_lifetime=0,
        timeout=5,
        server_settings={
            "application_name": name,
            "timezone": "UTC",
            # Short statements never earn back what compiling them costs.
            "jit": "off",
            "lock_timeout": f"{int(LOCK_TIMEOUT_SECONDS * 1000)}ms",
            "plan_cache_mode": "force_custom_plan" if plans_anew else "auto",
            "idle_in_transaction_session_timeout": f"{int(idle_timeout_seconds * 1000)}ms",
        },
    )
