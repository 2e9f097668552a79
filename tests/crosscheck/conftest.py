"""The emulator, and localstripe as a process of its own: one after the other."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import stripe

from services.billing.payments.stripe_http import StripeHttp
from shared.runtime.embedded.child import free_port
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


@asynccontextmanager
async def emulator() -> AsyncGenerator[str]:
    served = StripeEmulator(ManualClock().now, api_key=KEY, webhook_secret="whsec_crosscheck")
    await served.start()
    yield served.url
    await served.stop()


@asynccontextmanager
async def localstripe() -> AsyncGenerator[str]:
    """GPL-3: never imported here, but run by an interpreter that has it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        str(PYTHON), "-c", LAUNCHER, str(port), stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(30):
        while not await is_listening(port):
            assert process.returncode is None
            await asyncio.sleep(0.05)
    yield f"http://[::1]:{port}"
    process.terminate()
    await process.wait()


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("::1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.fixture(params=[emulator, localstripe], ids=["emulator", "localstripe"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[stripe.V1Services]:
    """The official SDK, at one of them."""
    http = StripeHttp(timeout_seconds=30)
    async with request.param() as url:
        yield stripe.StripeClient(
            KEY, base_addresses={"api": url}, max_network_retries=0, http_client=http
        ).v1
        await http.close_async()
