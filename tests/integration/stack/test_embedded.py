"""The embedded servers keep their data whatever happens to them."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import nats

from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres


async def test_postgres_keeps_committed_rows_over_a_kill(own_postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(own_postgres.url)
    await connection.execute("CREATE TABLE kept (value int)")
    await connection.execute("INSERT INTO kept VALUES (7)")
    port = own_postgres.port

    await own_postgres.kill()
    await own_postgres.start()

    assert own_postgres.port == port
    connection.terminate()
    again = await asyncpg.connect(own_postgres.url)
    assert await again.fetchval("SELECT value FROM kept") == 7
    await again.close()


async def test_postgres_starts_after_it_was_killed_while_it_started(
    own_postgres: EmbeddedPostgres,
) -> None:
    await own_postgres.kill()
    (own_postgres.data / "postmaster.pid").write_bytes(b"")
    await own_postgres.start()
    connection = await asyncpg.connect(own_postgres.url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_nats_keeps_acknowledged_messages_over_a_kill(own_nats: EmbeddedNats) -> None:
    client = await nats.connect(own_nats.url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="KEPT", subjects=["kept"])
    await jetstream.publish("kept", b"7")
    await client.close()

    await own_nats.kill()
    await own_nats.start()

    client = await nats.connect(own_nats.url)
    message = await client.jetstream().get_last_msg("KEPT", "kept")
    assert message.data == b"7"
    await client.close()


async def test_postgres_runs_where_only_the_owner_may_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres", log=closed / "postgres.log", fsync=False)
    await server.start()

    connection = await asyncpg.connect(server.url)
    assert (closed / "postgres" / "PG_VERSION").exists()
    assert await connection.fetchval("SHOW data_directory") == str(server.data)

    await connection.close()
    await server.stop()
    server.remove()
