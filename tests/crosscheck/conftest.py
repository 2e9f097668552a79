"""The emulator, and localstripe as a process of its own: one after the other."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import stripe

from services.billing.payments.stripe_http import StripeHttp
from shared.runtime.embedded.child import ChildProcess, free_port
from shared.testing.clocks import ManualClock
from shared.testing.stripe_emulator.server import StripeEmulator

PYTHON = Path(sys.prefix) / "localstripe" / "bin" / "python"
KEY = "sk_test_crosscheck"
LAUNCHER = """
import pickle, runpy, socket, sys

bind = socket.socket.bind
# It would listen on every interface, and keep what it knows in a file that anybody may write.
socket.socket.bind = lambda sock, address: bind(sock, ("::1", *address[1:]))
pickle.dump = lambda *_, **__: None
sys.argv = ["localstripe", "--port", sys.argv[1], "--from-scratch"]
runpy.run_module("localstripe", run_name="__main__")
"""


class Localstripe(ChildProcess):
    """GPL-3: never imported here, but run by an interpreter that has it."""

    def __init__(self, log: Path):
        super().__init__("localstripe", log)
        self._port = free_port()
        self.url = f"http://[::1]:{self._port}"

    def command(self) -> Sequence[str]:
        return [str(PYTHON), "-c", LAUNCHER, str(self._port)]

    def environment(self) -> Mapping[str, str]:
        return os.environ

    async def is_ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("::1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


def emulator(_folder: Path) -> StripeEmulator:
    return StripeEmulator(ManualClock().now, api_key=KEY, webhook_secret="whsec_crosscheck")


def localstripe(folder: Path) -> Localstripe:
    return Localstripe(folder / "localstripe.log")


@pytest.fixture(params=[emulator, localstripe], ids=["emulator", "localstripe"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[stripe.V1Services]:
    """The official SDK, at one of them."""
    server: StripeEmulator | Localstripe = request.param(tmp_path)
    http = StripeHttp(timeout_seconds=30)
    await server.start()
    yield stripe.StripeClient(
        KEY, base_addresses={"api": server.url}, max_network_retries=0, http_client=http
    ).v1
    await http.close_async()
    await server.stop()
