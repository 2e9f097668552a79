"""The system from outside: HTTP calls, bare publishes, and a look into the player's tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import aiohttp
import asyncpg
import msgspec
from nats.aio.client import Client
from nats.js.api import PubAck

from shared.jetstream.connection import jetstream
from shared.jetstream.patience import patiently
from shared.messages import subjects
from shared.messages.player import Player, Progress
from shared.messages.workflows import WorkflowStatus
from tests.cluster import Cluster

T = TypeVar("T")

BOUND_SECONDS = 30.0
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """What the gateway answered."""

    status: int
    body: Any


class Letter(NamedTuple):
    """A row of the dead letters."""

    reason: str
    detail: str


class Game:
    """What callers, games and operators do."""

    def __init__(
        self,
        cluster: Cluster,
        http: aiohttp.ClientSession,
        client: Client,
        database: asyncpg.Pool[asyncpg.Record],
    ):
        self.cluster = cluster
        self.http = http
        self.client = client
        self.js = jetstream(client)
        self.database = database

    # -- over HTTP ------------------------------------------------------------------------------

    async def post(self, path: str, body: Any, key: str | None = None) -> Answer:
        """Sends JSON, or bytes as they are."""
        headers = {**JSON} if key is None else {**JSON, subjects.IDEMPOTENCY_KEY: key}
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with self.http.post(path, data=BytesIO(data), headers=headers) as answer:
            return Answer(answer.status, await answer.json(content_type=None))

    async def create_player(self, **fields: Any) -> UUID:
        """A new player."""
        answer = await self.post("/api/players", fields)
        assert answer.status == 201, answer
        return msgspec.convert(answer.body, Player).id

    async def deactivate(self, player_id: UUID) -> None:
        """Makes a player inactive."""
        async with self.http.patch(f"/api/players/{player_id}", json={"isActive": False}) as answer:
            assert answer.status == 200

    async def start(self, player_id: UUID, workflow_id: str | None = None) -> Answer:
        """Starts the player's workflow."""
        named = {} if workflow_id is None else {"id": workflow_id}
        return await self.post("/api/workflows/player", {"playerId": player_id, **named})

    async def run(self, player_id: UUID) -> WorkflowStatus:
        """Starts the player's workflow and waits for its end."""
        answer = await self.start(player_id)
        assert answer.status == 202, answer
        return await self.ended(answer.body["workflowId"])

    async def status(self, workflow_id: str) -> WorkflowStatus | None:
        """Where an instance stands; None for one that nobody knows."""
        async with self.http.get(f"/api/workflows/{workflow_id}") as answer:
            if answer.status == 404:
                return None
            assert answer.status == 200, await answer.text()
            return msgspec.json.decode(await answer.read(), type=WorkflowStatus)

    async def ended(self, workflow_id: str) -> WorkflowStatus:
        """The status once it is final."""
        found = await eventually(
            lambda: self.status(workflow_id),
            lambda status: status is not None and status.status.ended,
        )
        assert found is not None
        return found

    async def progress(self, player_id: UUID) -> Progress:
        """Where a player stands."""
        async with self.http.get(f"/api/players/{player_id}/progress") as answer:
            assert answer.status == 200
            return msgspec.json.decode(await answer.read(), type=Progress)

    # -- over NATS ------------------------------------------------------------------------------

    async def publish(
        self, subject: str, body: Any, headers: dict[str, str] | None = None
    ) -> PubAck:
        """What anybody with a NATS client does, once more if the server has just gone."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await patiently("publish", lambda: self.js.publish(subject, data, headers=headers))

    async def all_done(self) -> None:
        """Returns once no command and no fact waits, nor is being worked at."""

        async def waiting() -> int:
            streams = (subjects.workflows_stream("player"), subjects.INGEST_STREAM)
            infos = [await self.js.stream_info(stream) for stream in streams]
            return sum(info.state.messages for info in infos)

        await eventually(waiting, lambda messages: messages == 0)

    # -- in the player's tables -----------------------------------------------------------------

    async def value(self, query: str, *args: Any) -> Any:
        """One value that a query finds."""
        return await self.database.fetchval(query, *args)

    async def letter(self, ack: PubAck) -> Letter:
        """The dead letter of a published message."""
        row = await eventually(
            lambda: self.database.fetchrow(
                "SELECT reason, detail FROM dead_letters WHERE origin LIKE $1",
                f"{ack.stream}/%/{ack.seq}",
            ),
            lambda found: found is not None,
        )
        assert row is not None
        return Letter(row["reason"], row["detail"])


async def eventually(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """What is seen once the condition holds; each look is a round trip. Bounded."""
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            seen = await look()
            if holds(seen):
                return seen
