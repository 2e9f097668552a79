"""The whole system over three nodes of NATS."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from shared.jetstream.connection import connect
from shared.messages import subjects
from shared.messages.workflows import Status
from tests.acceptance.game import Answer, Game, eventually
from tests.cluster import running_cluster

SHORT = {"LEASE_SECONDS": "2", "ACK_WAIT_SECONDS": "2"}


async def test_starts_are_accepted_and_run_after_the_leader_of_their_stream_was_killed(
    tmp_path: Path,
) -> None:
    async with running_cluster(tmp_path, replicas=1, settings=SHORT, nats_nodes=3) as cluster:
        client = await connect(cluster.nats.url, "test")
        pool = await asyncpg.create_pool(cluster.database_url, min_size=0, max_size=2)
        async with cluster.http() as http:
            game = Game(cluster, http, client, pool)
            player_id = await game.create_player()
            first = await game.run(player_id)
            leader = await cluster.nats.leader_of(subjects.workflows_stream("player"))
            await leader.kill()

            async def start_again() -> Answer:
                return await game.start(player_id, "second")

            # 503 names the id until there is a new leader; 409 says that an earlier attempt was in.
            answer = await eventually(start_again, lambda answer: answer.status != 503)
            second = await game.ended("second")
        await client.close()
        pool.terminate()

    assert first.status is Status.COMPLETE
    assert answer.status in {202, 409}
    assert second.status is Status.COMPLETE
