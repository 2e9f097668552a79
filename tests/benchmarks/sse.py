"""`python -m tests.benchmarks.sse`: what a thousand clients that watch cost one gateway process."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import aiohttp
from nats.aio.client import Client

from services.gateway.app import ensure
from shared.jetstream.connection import close, connect
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages.base import encode
from shared.messages.workflows import Status, StatusDocument, StepStatus
from shared.runtime.embedded.child import free_port
from shared.testing.servers import embedded_nats
from shared.workflow.records import InstanceKey
from tests.benchmarks.measure import WrongResult

KEY = "a-key-of-the-benchmark"
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
STEPS = 5
BOUND_SECONDS = 120.0


class Bench:
    """The clients, which share a process with who puts, and what they got."""

    def __init__(self, client: Client, http: aiohttp.ClientSession, keys: int):
        self._bucket = JetStreamStatusBucket(client)
        self._http = http
        self._keys = keys
        self._put_at: dict[tuple[str, int], float] = {}
        self.lags: list[float] = []
        self.ends = 0

    async def put(self, number: int, version: int, status: Status = Status.RUNNING) -> None:
        """The next document of a key, with a few steps."""
        workflow_id = f"w{number}"
        steps = [
            StepStatus(name=f"step-{n}", status="complete", attempts=1, started_at=NOW)
            for n in range(STEPS)
        ]
        document = StatusDocument(
            workflow_id=workflow_id,
            kind="player",
            status=status,
            created_at=NOW,
            updated_at=NOW,
            steps=tuple(steps),
            generation=1,
            version=version,
        )
        self._put_at[workflow_id, version] = perf_counter()
        key = InstanceKey("player", workflow_id)
        await self._bucket.put(key, encode(document), document.order, None)

    async def put_all(self, version: int, status: Status = Status.RUNNING) -> None:
        """One of each key, one after the other."""
        for number in range(self._keys):
            await self.put(number, version, status)

    async def watch(self, number: int, present: asyncio.Semaphore) -> None:
        """One client, from the present status to the end."""
        workflow_id = f"w{number % self._keys}"
        last = 0
        async with self._http.get(f"/api/workflows/{workflow_id}/events") as answer:
            async for line in answer.content:
                if not line.startswith(b"id: "):
                    self.ends += b'"kind":"player","status":"complete"' in line
                    continue
                version = int(line.split(b".")[1])
                if version <= last:
                    raise WrongResult(f"{version} came after {last}")
                if last:
                    self.lags.append(perf_counter() - self._put_at[workflow_id, version])
                else:
                    present.release()
                last = version


async def bench(clients: int, keys: int, rounds: int) -> str:
    """A report, in one paragraph. Raises WrongResult."""
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(embedded_nats())
        client = await connect(nats.url, "bench")
        stack.push_async_callback(close, client)
        await ensure(client)
        port = free_port()
        gateway = await _gateway(stack, nats.url, port)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {KEY}"},
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=BOUND_SECONDS),
            )
        )
        found = Bench(client, http, keys)
        await found.put_all(1)
        before = _resident_kib(gateway)
        present = asyncio.Semaphore(0)
        began = perf_counter()
        watching = [asyncio.create_task(found.watch(n, present)) for n in range(clients)]
        async with asyncio.timeout(BOUND_SECONDS):
            for _ in watching:
                await present.acquire()
            connected = perf_counter() - began
            began = perf_counter()
            for version in range(2, rounds + 2):
                await found.put_all(version)
            after = _resident_kib(gateway)
            await found.put_all(rounds + 2, Status.COMPLETE)
            await asyncio.gather(*watching)
            took = perf_counter() - began
    if found.ends != clients:
        raise WrongResult(f"{found.ends} of {clients} clients saw the end")
    lags = [1000 * each for each in found.lags]
    cuts = quantiles(lags, n=100)
    return (
        f"{clients} clients of {keys} instances: all have the present status after "
        f"{connected:.2f} s; {len(lags)} events in {took:.2f} s; lag from before the put, median "
        f"{cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, longest {max(lags):.0f} ms; memory "
        f"{before / 1024:.0f} MiB before, {after / 1024:.0f} MiB with all of them, "
        f"{(after - before) / clients:.0f} KiB a client. Every client saw the end once."
    )


async def _gateway(stack: AsyncExitStack, nats_url: str, port: int) -> Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway"),
        env={
            "NATS_URL": nats_url,
            "API_KEY": KEY,
            "HTTP_PORT": str(port),
            "PATH": "",
            "LOG_LEVEL": "warning",
        },
        stdout=PIPE,
    )

    async def end() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    async with asyncio.timeout(BOUND_SECONDS), aiohttp.ClientSession() as http:
        while True:
            try:
                await http.get(f"http://127.0.0.1:{port}/readyz")
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
            else:
                return process


def _resident_kib(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def main() -> None:
    """Prints the report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20, help="changes of each instance")
    given = parser.parse_args()
    print(asyncio.run(bench(given.clients, given.instances, given.rounds)))


if __name__ == "__main__":
    main()
