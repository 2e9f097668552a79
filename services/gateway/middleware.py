"""What happens to every request: its id and log line, its problem document, its credential."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from msgspec import structs
from opentelemetry.trace import SpanKind, StatusCode

from services.gateway import metrics
from services.gateway.starts import NotConfirmed
from shared.jetstream.connection import MessageTooLarge
from shared.jetstream.requests import Unavailable
from shared.messages.base import encode
from shared.messages.problems import Problem, Refused
from shared.runtime.config import Secret
from shared.workflow import tracing
from shared.workflow.errors import Transient

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACTOR = web.RequestKey("actor", str)
WEBHOOKS = "/api/webhooks/{provider}"
"""Signed by who sends them: there is no key to ask for."""
REQUEST_ID = "X-Request-Id"
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,100}")
DOCS = "/docs"
"""The API description as a page."""
OPEN_PATHS = frozenset(
    {
        *("/healthz", "/readyz", "/startupz", "/metrics"),
        *("/openapi.json", "/asyncapi.json", DOCS),
        *(f"{DOCS}/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")),
    }
)
RETRY_AFTER_SECONDS = 1


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A span around each request, but for health and the like, in the caller's trace if it has one.

    It tells the route and not the address, which holds ids of players.
    """
    if request.path in OPEN_PATHS:
        return await handler(request)
    method, route = request.method, _route(request)
    with tracing.entered(f"{method} {route}", SpanKind.SERVER, request.headers) as span:
        span.set_attributes({"http.request.method": method, "http.route": route})
        response = await handler(request)
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= 500:
            span.set_status(StatusCode.ERROR)
    return response


@web.middleware
async def access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives the request an id, and writes one line and two metrics about it.

    Neither headers nor the query are logged: a caller may put a secret there.
    """
    given = request.headers.get(REQUEST_ID, "")
    request_id = given if REQUEST_ID_PATTERN.fullmatch(given) else str(uuid4())
    route = _route(request)
    began = perf_counter()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await handler(request)
        seconds = perf_counter() - began
        if route not in OPEN_PATHS:
            log.info(
                "http_request",
                method=request.method,
                path=request.path,
                status=response.status,
                seconds=round(seconds, 6),
                actor=request.get(ACTOR),
            )
    metrics.REQUESTS.labels(request.method, route, str(response.status)).inc()
    metrics.REQUEST_SECONDS.labels(route).observe(seconds)
    response.headers[REQUEST_ID] = request_id
    return response


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as a problem document (RFC 9457)."""
    try:
        return await handler(request)
    except Refused as refused:
        return respond(request, refused.problem())
    except MessageTooLarge as error:
        return respond(request, _problem("too_large", 413, str(error)))
    except NotConfirmed as error:
        log.warning("start_not_confirmed", keys=str(error), reason=str(error.__cause__))
        return respond(request, error.problem())
    except Unavailable as error:
        log.warning("service_unavailable", reason=str(error))
        return respond(request, _problem("service_unavailable", 503, _remedy(error)))
    except Transient as error:
        log.warning("jetstream_unavailable", reason=str(error))
        return respond(request, _problem("unavailable", 503, "NATS is away: try again"))
    except web.HTTPException as error:
        return _converted(request, error)
    except Exception:
        log.exception("request_failed", path=request.path)
        return respond(
            request, _problem("internal_error", 500, "an error that the gateway's log tells of")
        )


def authenticate(api_key: Secret) -> Middleware:
    """Lets in who sends the key; health, the API description and what is signed need none."""
    expected = f"Bearer {api_key.reveal()}".encode()

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS or _route(request) == WEBHOOKS:
            return await handler(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = f"{scheme.capitalize()} {token.strip()}".encode("utf-8", "surrogateescape")
        # Compared in constant time: how much of a guess is right must not show in its duration.
        if not hmac.compare_digest(given, expected):
            response = respond(
                request,
                _problem("unauthorized", 401, "send the header `Authorization: Bearer <API key>`"),
            )
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        request[ACTOR] = "api"
        return await handler(request)

    return authenticated


def respond(request: web.Request, problem: Problem) -> web.Response:
    """The problem as an answer; 503 says when to come again."""
    response = web.Response(
        body=encode(
            structs.replace(problem, type=f"/problems/{problem.code}", instance=request.path)
        ),
        status=problem.status,
        content_type="application/problem+json",
    )
    if problem.status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def _problem(code: str, status: int, detail: str) -> Problem:
    return Refused(code, detail, status=status).problem()


def _remedy(error: Unavailable) -> str:
    if error.carried_out is False:
        return "the service does not run now; nothing was changed: try again"
    return (
        "the service did not answer in time, and whether it carried the request out is unknown: "
        "repeat it with the same Idempotency-Key, or read before repeating it"
    )


def _converted(request: web.Request, error: web.HTTPException) -> web.Response:
    """aiohttp's own errors: no such address, a method that it does not take, too long a body."""
    if error.status < 400:
        raise error
    details = {
        404: f"there is nothing at {request.path}",
        405: f"{request.path} does not take {request.method}",
        413: f"a body may have {request.client_max_size} bytes",
    }
    code = re.sub(r"[^a-z]+", "_", error.reason.lower()).strip("_")
    response = respond(
        request, _problem(code, error.status, details.get(error.status, error.reason))
    )
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
