"""Stands in for a service: ready at once, tells its environment, breaks while a file is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aiohttp import web

SHOWN = ("NATS_URL", "DATABASE_URL", "API_KEY")


async def _ready(_: web.Request) -> web.Response:
    return web.Response(status=503 if "STAND_IN_NEVER_READY" in os.environ else 200)


async def _environment(_: web.Request) -> web.Response:
    return web.json_response({name: os.environ.get(name) for name in SHOWN})


def main() -> None:
    """Serves until SIGTERM."""
    if Path(os.environ["STAND_IN_BREAKS"]).exists():
        sys.exit("LEASE_SECONDS is not set: set it to a number above 0")
    app = web.Application()
    app.add_routes([web.get("/readyz", _ready), web.get("/environment", _environment)])
    web.run_app(app, host=os.environ["HTTP_HOST"], port=int(os.environ["HTTP_PORT"]), print=None)


if __name__ == "__main__":
    main()
