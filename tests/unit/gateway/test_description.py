"""The description of the API is valid, whole, and tells what the code declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast, get_type_hints

import pytest
from nats.aio.client import Client
from openapi_spec_validator import validate

from services.gateway.app import OPERATIONS, create_app
from services.gateway.description import asyncapi, openapi, routes
from services.gateway.description.schemas import pattern
from shared.messages import contract
from shared.messages.codes import STATUSES
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock
from tests.contracts import BUILTIN_COMMANDS, BUILTIN_QUERIES, CONTRACTS, AnyRequest, Contract
from tests.examples import FILE, written
from tests.unit.docs.test_http import errors_in_code

DESCRIBED = (*OPERATIONS, *routes.OPERATIONS)
OPENAPI = openapi.document(DESCRIBED, "1")
ASYNCAPI = asyncapi.document("1")
NOT_OF_AN_ADDRESS = {
    # Of no address, of a method that an address does not take, and defects.
    *("not_found", "method_not_allowed", "internal_error", "reply_too_large")
}
OF_NATS_ALONE = {"invalid_cursor", "person_not_held", "provider_refused", "unknown_dataset"}
"""Of requests that no address forwards."""
OF_AN_INNER_REQUEST = {"poisoned", "unknown_fact"}


def test_the_document_is_openapi() -> None:
    validate(OPENAPI)


def test_every_route_is_described_and_nothing_else() -> None:
    app = create_app(Client(), Secret("key"), ManualClock())
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert {(each.method, each.route or each.path) for each in DESCRIBED} == routed
    assert len({(each.method, each.path) for each in DESCRIBED}) == len(DESCRIBED)


def test_each_code_is_documented_somewhere_with_the_status_it_has() -> None:
    in_code = dict(errors_in_code())
    assert {code: STATUSES[code] for code in in_code if code in STATUSES} == {
        code: status for code, status in in_code.items() if code in STATUSES
    }
    told = {code for each in DESCRIBED for code in each.codes}
    assert told == STATUSES.keys() - NOT_OF_AN_ADDRESS - OF_NATS_ALONE


def test_the_examples_are_those_of_the_pages() -> None:
    assert FILE.read_text() == written(), "run `python -m tests.examples`"


def test_every_body_has_an_example() -> None:
    without = [
        each.path
        for each in DESCRIBED
        if each.subject is not None
        and each.body is not None
        and "example"
        not in OPENAPI["paths"][each.path][each.method.lower()]["requestBody"]["content"][
            "application/json"
        ]
    ]
    assert without == []


def calls(several: Sequence[AnyRequest]) -> set[tuple[str, type, type]]:
    return {(each.name, each.message, get_type_hints(each.handle)["return"]) for each in several}


def told(several: tuple[contract.Call, ...]) -> set[tuple[str, type, type]]:
    return {(each.name, each.message, each.answer) for each in several}


@pytest.mark.parametrize("of", CONTRACTS, ids=lambda each: each.service)
def test_the_contract_is_what_the_services_declare(of: Contract) -> None:
    service = of.service
    # Facts are taken as commands too, where the gateway answers who reports one.
    own = {each for each in calls(of.facts) if each in told(contract.COMMANDS[service])}
    assert calls(of.commands) | own == told(contract.COMMANDS[service])
    assert calls(of.queries) == told(contract.QUERIES[service])
    facts = {each.name: each.message for each in of.facts}
    assert facts == contract.FACTS.get(service, {})
    assert set(of.events) == set(contract.EVENTS.get(service, ()))


def test_the_contract_is_what_every_service_declares() -> None:
    assert calls(BUILTIN_COMMANDS) == told(contract.BUILTIN_COMMANDS)
    assert calls(BUILTIN_QUERIES) == told(contract.BUILTIN_QUERIES)


def test_the_contract_on_nats_has_every_subject_once() -> None:
    addresses = [each.address for each in asyncapi.channels()]
    assert len(addresses) == len(set(addresses))
    for each in CONTRACTS:
        assert {subject for subject, _ in each.requests()} <= set(addresses)


def test_the_contract_on_nats_is_asyncapi_3() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert ASYNCAPI.keys() <= {
        *("asyncapi", "info", "defaultContentType", "channels", "operations", "components")
    }
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = at(ASYNCAPI, operation["channel"]["$ref"])
        braces = {part[1:-1] for part in channel["address"].split(".") if part.startswith("{")}
        assert channel.get("parameters", {}).keys() == braces
        # The messages of an operation are those of its channel, as the specification has it.
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"])


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for each in found:
        assert at(document, each) is not None


def references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in cast("Sequence[Any]", node):
            yield from references(each)
    elif isinstance(node, dict):
        fields = cast("dict[str, Any]", node)
        if isinstance(fields.get("$ref"), str):
            yield fields["$ref"]
        for each in fields.values():
            yield from references(each)


def at(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_a_pattern_means_the_same_outside_python() -> None:
    assert pattern(r"^[^\x00]*\Z") == r"^[^\u0000]*$"
    assert pattern(r"^[a-z]{1,2}$(?!\n)") == "^[a-z]{1,2}$"
