"""Whatever is sent, the gateway answers, and never with 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from yarl import URL

from services.gateway.routes import achievements, billing, caches, keys, players, sessions
from tests.integration.gateway.answering import answering

Http = TestClient[Request, Application]

EXAMPLES = 800
SEED = 20_260_301
NAMES = ["id", "playerId", "customerId", "name", "scopes", "instances", "amount", "key", "startAt"]
OWNERS = {
    "player": (*players.TABLE, *sessions.TABLE, *achievements.TABLE),
    "billing": billing.TABLE,
    "maintenance": (*caches.TABLE, *keys.TABLE),
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), values, max_size=5)
bodies = (
    st.none()
    | st.binary(max_size=200)
    | (values | objects).map(lambda value: json.dumps(value).encode())
)
"""With lone surrogates, NaN and the like, as json.dumps makes them."""
texts = st.text(max_size=30) | st.sampled_from(
    ["", ".", "..", "*", ">", "a.b", "a" * 101, "-", "\0"]
)
header_texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60)
"""The client itself sends no control character."""
headers = st.fixed_dictionaries(
    {},
    optional={
        "Idempotency-Key": header_texts,
        "Content-Type": st.sampled_from(["application/json", "text/plain", "", "a;b;c"])
        | header_texts,
        "X-Request-Id": header_texts,
        "Origin": header_texts,
        "traceparent": header_texts,
        "tracestate": header_texts,
        "Last-Event-ID": header_texts,
        "Authorization": header_texts.map("Bearer {}".format) | header_texts,
    },
)
queries = st.dictionaries(
    st.sampled_from(["id", "kind", "service", "limit", "before", "since", "cursor"]) | texts,
    texts,
    max_size=3,
)


def addresses(http: Http) -> list[tuple[str, str]]:
    """Every method and path of the gateway, with names in braces."""
    assert http.app is not None
    return sorted(
        {
            (route.method, route.resource.canonical)
            for route in http.app.router.routes()
            if route.resource is not None
        }
    )


@st.composite
def filled(draw: st.DrawFn, path: str) -> str:
    """The path with anything instead of its names, or with what there is."""
    for name in ("kind", "id", "action", "type", "service", "name", "provider", "namespace"):
        known = {"kind": "player", "action": "pause", "service": "player", "provider": "sandbox"}
        some = st.sampled_from([known.get(name, "one")])
        path = path.replace(f"{{{name}}}", quote(draw(some | texts), safe=""))
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(draw(texts), safe="") + rest.partition("}")[2]
    return path


@pytest.mark.rule("http-strange-input", "http-problems")
async def test_no_input_is_answered_with_500(
    http: Http,
    nats_client: Client,
    record_property: Callable[[str, object], None],
) -> None:
    loop = asyncio.get_running_loop()
    known = addresses(http)
    record_property("seed of the strange input", SEED)
    seen: dict[int, int] = {}

    async def send(method: str, path: str, **sent: Any) -> None:
        url = URL(str(http.make_url("/")).rstrip("/") + path, encoded=True)
        async with http.session.request(method, url, allow_redirects=False, **sent) as answer:
            text = await answer.text()
            seen[answer.status] = seen.get(answer.status, 0) + 1
            assert answer.status != 500, f"{method} {path} {sent}: {text}"
            if answer.status >= 400 and method != "HEAD":
                assert json.loads(text)["status"] == answer.status

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def all_of_it(data: st.DataObject) -> None:
        method, path = data.draw(st.sampled_from(known))
        path = data.draw(filled(path))
        query = data.draw(queries)
        if query:
            path += "?" + "&".join(
                f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query.items()
            )
        sending = send(method, path, headers=data.draw(headers), data=data.draw(bodies))
        asyncio.run_coroutine_threadsafe(sending, loop).result(30)

    async with AsyncExitStack() as stack:
        for service, table in OWNERS.items():
            await stack.enter_async_context(answering(nats_client, service, table))
        await asyncio.to_thread(all_of_it)
    record_property("its answers", dict(sorted(seen.items())))
    assert {200, 401, 404, 422} <= seen.keys(), seen
