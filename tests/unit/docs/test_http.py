"""docs/http.md names every address and every error there is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest
from aiohttp import web
from nats.aio.client import Client

from services.gateway.app import create_app
from services.gateway.routes import (
    achievements,
    analytics,
    billing,
    caches,
    dead_letters,
    health,
    invariants,
    notices,
    persons,
    players,
    retention,
    sessions,
)
from services.gateway.routes.forwarding import ANY_SERVICE
from services.gateway.routes.workflows import Batch
from shared.messages import problems, subjects, workflows
from shared.messages.base import Message, encode
from shared.messages.decoding import decode
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock
from tests.contracts import BUILTIN_COMMANDS, BUILTIN_QUERIES, CONTRACTS, AnyRequest
from tests.markdown import ROOT, Block, blocks, table

PAGE = "docs/http.md"
FORWARDED = (
    *players.TABLE,
    *sessions.TABLE,
    *achievements.TABLE,
    *billing.TABLE,
    *notices.TABLE,
    *persons.TABLE,
    *caches.TABLE,
    *dead_letters.TABLE,
    *health.TABLE,
    *invariants.TABLE,
    *analytics.TABLE,
    *retention.TABLE,
)
HANDLERS: dict[str, AnyRequest] = {
    **{
        subjects.command(contract.service, each.name): each
        for contract in CONTRACTS
        for each in BUILTIN_COMMANDS
    },
    **{
        subjects.query(contract.service, each.name): each
        for contract in CONTRACTS
        for each in BUILTIN_QUERIES
    },
    **{
        subjects.command(contract.service, each.name): each
        for contract in CONTRACTS
        # Facts are taken as commands too, so that the gateway can answer who reports one.
        for each in (*contract.commands, *contract.facts)
    },
    **{
        subjects.query(contract.service, each.name): each
        for contract in CONTRACTS
        for each in contract.queries
    },
}
RAISED_BY = {"Refused", "StartRefused", "_problem", "Problem"}
OF_DEAD_LETTERS_ALONE = {"poisoned", "unknown_fact"}


def test_every_address_is_told_and_no_other() -> None:
    app = create_app(Client(), Secret("key"), ManualClock())
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    simple = [row[:2] for row in table(PAGE, "method", "path", "what it does")]
    forwarded = [row[:2] for row in table(PAGE, "method", "path", "Struct", "answers")]
    assert {*simple, *forwarded} == routes
    assert len({*simple, *forwarded}) == len(simple) + len(forwarded)


def test_the_table_of_calls_tells_what_each_takes_and_answers() -> None:
    documented = [
        (method, path, message, answers.replace("`", ""))
        for method, path, message, answers in table(PAGE, "method", "path", "Struct", "answers")
    ]
    assert sorted(documented) == sorted(
        (row.method, row.path, row.message.__name__, f"{row.status} {answer_of(row.subject)}")
        for row in FORWARDED
    )


def answer_of(subject: str) -> str:
    handler = HANDLERS[subject.replace(ANY_SERVICE, "player")]
    answer: type[Message] = get_type_hints(handler.handle)["return"]
    return answer.__name__


def test_every_status_is_explained() -> None:
    assert {row[0] for row in table(PAGE, "status", "meaning")} == set(workflows.Status)


@pytest.mark.parametrize("block", blocks(PAGE, "json"), ids=lambda block: block.about[0])
def test_an_example_has_all_fields_of_its_struct_and_no_other(block: Block) -> None:
    [name] = block.about
    message = Batch if name == "Batch" else {**vars(workflows), **vars(problems)}[name]
    example: dict[str, Any] = msgspec.json.decode(block.text)
    known: dict[str, Any] = msgspec.json.decode(encode(decode(block.text.encode(), message)))
    assert example.keys() <= known.keys()
    if not issubclass(message, workflows.Trigger):
        assert example.keys() == known.keys()


def test_every_error_is_told_with_its_status() -> None:
    documented = {(code, int(status)) for code, status, _ in table(PAGE, "code", "status", "when")}
    from_aiohttp = {
        ("not_found", web.HTTPNotFound.status_code),
        ("method_not_allowed", web.HTTPMethodNotAllowed.status_code),
        ("request_entity_too_large", web.HTTPRequestEntityTooLarge.status_code),
    }
    raised = {each for each in errors_in_code() if each[0] not in OF_DEAD_LETTERS_ALONE}
    assert documented == raised | from_aiohttp


def errors_in_code() -> Iterator[tuple[str, int]]:
    for folder in ("services", "shared"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    yield from error_of(node, node.func.id)


def error_of(call: ast.Call, function: str) -> Iterator[tuple[str, int]]:
    """The code and the status of a call that makes an error, if it is one."""
    if function not in RAISED_BY:
        return
    named = {each.arg: each.value for each in call.keywords}
    code = call.args[0] if call.args else named.get("code")
    status = named.get("status")
    if function == "_problem":
        status = call.args[1]
    if isinstance(code, ast.Constant) and isinstance(code.value, str):
        number = status.value if isinstance(status, ast.Constant) else 422
        assert isinstance(number, int)
        yield code.value, number
