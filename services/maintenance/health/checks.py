"""What is looked at, and how."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

import aiohttp
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from services.maintenance.health.running import Check, Failing, Finding
from services.maintenance.owners import Owners
from services.maintenance.rules.progress import Backlog, Floor, follow, progress
from shared.jetstream import topology
from shared.jetstream.connection import jetstream
from shared.jetstream.requests import Unavailable
from shared.messages.readiness import Readiness, ReadinessQuery
from shared.runtime.readiness import postgresql_server
from shared.runtime.surroundings import Surroundings

JETSTREAM = "jetstream"
OWN_POSTGRESQL = "postgresql:maintenance"
KINDS_OF_STREAM = {"KV_": "bucket", "OBJ_": "objects"}
"""Prefixes that NATS clients give the streams under buckets and object stores."""


class SystemChecks:
    """Of everything that the topology and the settings name."""

    def __init__(
        self,
        surroundings: Surroundings,
        owners: Owners,
        http: aiohttp.ClientSession,
        *,
        gateway_url: str | None,
        stuck_seconds: float,
    ):
        self._pool = surroundings.pool
        self._client = surroundings.client
        self._owners = owners
        self._http = http
        self._gateway_url = gateway_url
        self._stuck_seconds = stuck_seconds
        self._servers: dict[str, str | None] = {}
        """Last known PostgreSQL server of each service."""
        self._floors: dict[str, Floor] = {}

    def all(self) -> list[Check]:
        """One for each component."""
        services = topology.kinds_by_service()
        found = [
            Check(JETSTREAM, self._jetstream),
            Check(OWN_POSTGRESQL, self._own_postgresql),
        ]
        streams: dict[str, str] = {}
        for service, kinds in services.items():
            streams |= {
                name: component(name)
                for each in topology.streams(service, kinds)
                if (name := each.name) is not None
            }
        found += (
            _on(name, partial(self._stream, stream), JETSTREAM) for stream, name in streams.items()
        )
        for service, kinds in services.items():
            found += (
                _on(
                    f"consumer:{each.durable_name}",
                    partial(self._consumer, stream, str(each.durable_name)),
                    JETSTREAM,
                    streams[stream],
                )
                for stream, each in topology.consumers(service, kinds)
            )
            found.append(_on(f"service:{service}", partial(self._service, service), JETSTREAM))
            if service != "maintenance":
                found.append(
                    Check(
                        f"postgresql:{service}",
                        partial(self._postgresql, service),
                        partial(self._beneath_postgresql, service),
                    )
                )
        if self._gateway_url is not None:
            found.append(_on("gateway", partial(self._gateway, self._gateway_url), JETSTREAM))
        return found

    async def _jetstream(self) -> Finding:
        if not self._client.is_connected:
            raise Failing("NATS is away")
        account = await self._js.account_info()
        return Finding("pass", f"{account.streams} streams, {account.consumers} consumers")

    async def _stream(self, name: str) -> Finding:
        try:
            info = await self._js.stream_info(name)
        except NotFoundError as error:
            raise Failing(f"there is no stream {name}") from error
        return Finding("pass", f"{info.state.messages} messages")

    async def _consumer(self, stream: str, name: str) -> Finding:
        try:
            info = await self._js.consumer_info(stream, name)
        except NotFoundError as error:
            raise Failing(f"there is no consumer {name} of {stream}") from error
        backlog = Backlog(
            pending=info.num_pending or 0,
            unacknowledged=info.num_ack_pending or 0,
            redelivered=info.num_redelivered or 0,
            ack_floor=info.ack_floor.consumer_seq if info.ack_floor else 0,
        )
        now_seconds = monotonic()
        floor = follow(self._floors.get(name), backlog, now_seconds)
        self._floors[name] = floor
        return Finding(*progress(floor, backlog, now_seconds, self._stuck_seconds))

    async def _service(self, service: str) -> Finding:
        return Finding("pass", f"version {(await self._readiness(service)).version}")

    async def _postgresql(self, service: str) -> Finding:
        readiness = await self._readiness(service)
        if readiness.postgresql == "fail":
            raise Failing(f"away, as {service} says")
        self._servers[service] = readiness.postgresql_server
        return Finding("pass")

    async def _own_postgresql(self) -> Finding:
        self._servers["maintenance"] = await postgresql_server(self._pool)
        return Finding("pass")

    async def _gateway(self, url: str) -> Finding:
        async with self._http.get(f"{url}/readyz") as answer:
            if answer.status != 200:
                raise Failing(f"/readyz says {answer.status}")
        return Finding("pass")

    async def _readiness(self, service: str) -> Readiness:
        try:
            return await self._owners.query(service, "readiness", ReadinessQuery(), Readiness)
        except Unavailable as error:
            raise Failing("no replica answers") from error

    def _beneath_postgresql(self, service: str) -> Sequence[str]:
        """The process that was to tell, and this service's database where it is the same server."""
        server = self._servers.get(service)
        same = server is not None and server == self._servers.get("maintenance")
        return (f"service:{service}", *([OWN_POSTGRESQL] if same else []))

    @property
    def _js(self) -> JetStreamContext:
        return jetstream(self._client)


def component(stream: str) -> str:
    """How a stream is called among the components."""
    for prefix, kind in KINDS_OF_STREAM.items():
        if stream.startswith(prefix):
            return f"{kind}:{stream.removeprefix(prefix)}"
    return f"stream:{stream}"


def _on(name: str, look: partial[Coroutine[Any, Any, Finding]], *beneath: str) -> Check:
    return Check(name, look, lambda: beneath)
