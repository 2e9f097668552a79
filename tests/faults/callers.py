"""Callers who do not give up: each repeats what it asked for until it knows the answer. They do
nothing while the gate is closed, for then NATS is about to lose what nobody has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
from nats.aio.client import Client

from shared.jetstream.publisher import JetStreamPublisher
from shared.messages import subjects
from shared.workflow.errors import Transient
from shared.workflow.gate import Gate
from shared.workflow.records import OutboxMessage

FEWEST_STARTS = 2000
PAUSE_SECONDS = 0.1
READ_SHARE = 0.2
CROWD_SHARE = 0.2
JSON = {"Content-Type": "application/json"}


class Unexpected(Exception):
    """An answer that no storm explains."""


class Callers:
    """Plays a game over HTTP and NATS, and remembers what was accepted."""

    def __init__(self, http: aiohttp.ClientSession, client: Client, gate: Gate, seed: int):
        self._http = http
        self._publisher = JetStreamPublisher(client)
        self._gate = gate
        self._seed = seed
        self.repeats = 0
        """Calls that had to be made again."""
        self.players: list[UUID] = []
        self.started: set[str] = set()
        """Instances whose start was accepted over HTTP."""
        self.plenty = asyncio.Event()
        """Set once there are FEWEST_STARTS of them."""
        self.published: set[str] = set()
        """Instances whose start was published straight to NATS."""
        self.sessions: dict[UUID, UUID] = {}
        """Completed sessions, with their players."""
        self.logins: set[UUID] = set()

    async def play(self, number: int, enough: asyncio.Event) -> None:
        """One caller, until it is enough."""
        random = Random(f"{self._seed}/{number}")
        acts = {
            self._start: 12,
            self._create_player: 1,
            self._report_session: 1,
            self._publish_start: 1,
            self._publish_login: 1,
        }
        await self._create_player(random)
        while not enough.is_set():
            [act] = random.choices(list(acts), list(acts.values()))
            async with self._gate.beside_others():
                await act(random)

    # -- what a caller does ---------------------------------------------------------------------

    async def _create_player(self, random: Random) -> None:
        player_id = _uuid(random)
        await self._post("/api/players", {"id": player_id}, _key(random), (201,))
        self.players.append(player_id)

    async def _start(self, random: Random) -> None:
        """A start: by key, by id, or both at once from two callers."""
        trigger: dict[str, Any] = {"playerId": self._player(random)}
        way = random.choice(("key", "key", "id", "twice"))
        key = None if way == "id" else _key(random)
        if way != "key":
            trigger["id"] = f"storm-{_uuid(random)}"
        # Without a key a repeated call may meet its own first attempt: 409 says it was accepted.
        expected = (202, 409) if key is None else (202,)
        answers = await asyncio.gather(
            *(
                self._post("/api/workflows/player", trigger, key, expected)
                for _ in range(2 if way == "twice" else 1)
            )
        )
        [workflow_id] = {answer["workflowId"] for answer in answers}
        self.started.add(workflow_id)
        if len(self.started) >= FEWEST_STARTS:
            self.plenty.set()
        if random.random() < READ_SHARE:
            await self._get(f"/api/workflows/{workflow_id}")

    async def _report_session(self, random: Random) -> None:
        session_id, player_id = _uuid(random), self._player(random)
        body = {
            "sessionId": session_id,
            "playerId": player_id,
            "score": random.randrange(200),
            "answered": 10,
            "correct": random.randrange(11),
        }
        await self._post("/api/sessions", body, _key(random), (201,))
        self.sessions[session_id] = player_id

    async def _publish_start(self, random: Random) -> None:
        """A start past the gateway, at times with copies that no duplicate window knows."""
        workflow_id = f"bare-{_uuid(random)}"
        trigger = {"playerId": self._player(random)}
        headers = {subjects.WORKFLOW_ID: workflow_id}
        await asyncio.gather(
            *(
                self._publish(subjects.start("player"), trigger, headers)
                for _ in range(random.choice((1, 1, 5)))
            )
        )
        self.published.add(workflow_id)

    async def _publish_login(self, random: Random) -> None:
        player_id = self._player(random)
        headers = {subjects.MESSAGE_ID: str(_uuid(random))}
        await self._publish(subjects.ingest("player", "login"), {"playerId": player_id}, headers)
        self.logins.add(player_id)

    def _player(self, random: Random) -> UUID:
        """Any player, and often the first, for whom many then wait."""
        return random.choice(self.players[:1] if random.random() < CROWD_SHARE else self.players)

    # -- until it is known ----------------------------------------------------------------------

    async def _post(
        self, path: str, body: Any, key: str | None, expected: Sequence[int]
    ) -> dict[str, Any]:
        headers = JSON if key is None else {**JSON, subjects.IDEMPOTENCY_KEY: key}
        return await self._call("POST", path, expected, msgspec.json.encode(body), headers)

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._call("GET", path, (200,))

    async def _call(
        self,
        method: str,
        path: str,
        expected: Sequence[int],
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        while True:
            try:
                async with self._http.request(method, path, data=body, headers=headers) as answer:
                    content = await answer.read()
                    if answer.status in expected:
                        decoded: dict[str, Any] = msgspec.json.decode(content)
                        return decoded
                    if answer.status != 503:
                        raise Unexpected(f"{method} {path}: {answer.status} {content.decode()}")
            except (aiohttp.ClientError, TimeoutError):
                pass  # the gateway was killed; nobody knows whether it had done it
            self.repeats += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _publish(self, subject: str, body: Any, headers: dict[str, str]) -> None:
        message = OutboxMessage(
            id="", subject=subject, body=msgspec.json.encode(body), headers=headers
        )
        while True:
            try:
                await self._publisher.publish([message])
            except Transient:
                self.repeats += 1
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return


def _uuid(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def _key(random: Random) -> str:
    return str(_uuid(random))
