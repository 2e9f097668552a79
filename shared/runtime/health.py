"""Health and metrics of a service over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.messages.base import Message, encode


class Health(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The body of application/health+json."""

    status: str
    output: str | None = None


Check = Callable[[], Awaitable[str | None]]
"""What is wrong, or None."""


async def _respond(check: Check) -> web.Response:
    wrong = await check()
    return web.Response(
        body=encode(Health(status="fail" if wrong else "pass", output=wrong)),
        status=503 if wrong else 200,
        content_type="application/health+json",
    )


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _alive() -> str | None:
    # Liveness never depends on another component: a restart would not mend that one.
    return None


def routes(*, started: Check, ready: Check) -> list[web.RouteDef]:
    """/healthz, /startupz, /readyz and /metrics."""

    def probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(_: web.Request) -> web.Response:
            return await _respond(check)

        return handle

    return [
        web.get("/healthz", probe(_alive)),
        web.get("/startupz", probe(started)),
        web.get("/readyz", probe(ready)),
        web.get("/metrics", _metrics),
    ]


async def serve(host: str, port: int, *, started: Check, ready: Check) -> web.AppRunner:
    """Serves these routes alone; the caller cleans the runner up."""
    app = web.Application()
    app.add_routes(routes(started=started, ready=ready))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
