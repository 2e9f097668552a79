"""`padawanforge nats-users`: what it prints is what a nats-server takes."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from services.__main__ import app
from services.stack.processes import SERVICES
from shared.jetstream.connection import close, connect
from shared.jetstream.rights import OPERATOR, PUBLISHER
from shared.testing.servers import embedded_nats

HASH = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
"""Of `U*U`, as bcrypt's own test has it."""


@pytest.mark.parametrize(("kept", "password"), [("1e5-secret", "1e5-secret"), (HASH, "U*U")])
async def test_each_process_finds_its_user_with_a_password_from_the_servers_environment(
    kept: str, password: str
) -> None:
    printed = CliRunner().invoke(app, ["nats-users"]).output
    names = [*(service.name for service in SERVICES), PUBLISHER, OPERATOR]
    passwords = {f"NATS_PASSWORD_{name.upper()}": f'"{kept}"' for name in names}

    async with embedded_nats(printed, {**os.environ, **passwords}) as server:
        for name in names:
            client = await connect(server.url_as(name, password), name)
            await client.flush()
            await close(client)

    assert kept not in printed
