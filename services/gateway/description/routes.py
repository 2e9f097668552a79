"""`/openapi.json`, `/asyncapi.json` and `/docs`: open, and made once when the gateway starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from services.gateway.description import asyncapi, openapi
from services.gateway.middleware import DOCS
from services.gateway.routes.operations import Operation

POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
"""Nothing comes from another host; the page's icons are data of its own style sheet."""

PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>PadawanForge Workflows</title>
<link rel="stylesheet" href="{DOCS}/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="{DOCS}/swagger-ui-bundle.js"></script>
<script src="{DOCS}/start.js"></script>
</body>
</html>
"""

# Without `validatorUrl` the page would have the document checked by a host outside.
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", validatorUrl: null});\n'

OPERATIONS = (
    Operation("GET", "/openapi.json", "This document", dict[str, Any], is_open=True),
    Operation("GET", "/asyncapi.json", "The contract on NATS", dict[str, Any], is_open=True),
    Operation("GET", DOCS, "This document as a page", str, is_open=True, media_type="text/html"),
    Operation(
        "GET",
        f"{DOCS}/swagger-ui.css",
        "The page's style",
        str,
        is_open=True,
        media_type="text/css",
    ),
    *(
        Operation(
            "GET",
            f"{DOCS}/{name}",
            "The page's script",
            str,
            is_open=True,
            media_type="text/javascript",
        )
        for name in ("swagger-ui-bundle.js", "start.js")
    ),
)


def routes(operations: Sequence[Operation]) -> list[web.RouteDef]:
    """The addresses, describing these operations and themselves."""
    release = version("padawanforge-workflows")
    static = files("swagger_ui").joinpath("static")
    documents = (
        msgspec.json.encode(openapi.document([*operations, *OPERATIONS], release)),
        msgspec.json.encode(asyncapi.document(release)),
        PAGE.encode(),
        static.joinpath("swagger-ui.css").read_bytes(),
        static.joinpath("swagger-ui-bundle.js").read_bytes(),
        START.encode(),
    )
    return [
        web.get(one.path, _serving(body, one.media_type))
        for one, body in zip(OPERATIONS, documents, strict=True)
    ]


def _serving(body: bytes, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=body,
            content_type=media_type,
            charset="utf-8" if media_type.startswith("text/") else None,
            headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"},
        )

    return serve
