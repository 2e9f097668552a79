"""A server that falls silent without closing a connection is given up, not waited for."""

from __future__ import annotations

import socket
from typing import Any

from shared.postgres.pool import SILENCE, create_pool
from tests.integration.engine.conftest import MakePlace


async def test_a_database_connection_gives_a_silent_server_up(
    nats_url: str, make_place: MakePlace
) -> None:
    place = await make_place(nats_url)
    pool = await create_pool(place.database_url, size=1, name="test", idle_timeout_seconds=30)
    async with pool.acquire() as connection:
        proxied: Any = connection
        of = proxied._con._transport.get_extra_info("socket")
        assert of.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert of.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == SILENCE["TCP_KEEPIDLE"]
    pool.terminate()
