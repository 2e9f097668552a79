"""The OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

from services.gateway.description import examples
from services.gateway.description.schemas import components
from services.gateway.routes.operations import Operation, Parameter, of_address
from shared.messages.codes import STATUSES
from shared.messages.problems import Problem

KEY_SCHEMA = {"type": "string", "pattern": "^[!-~]{1,200}$"}
ABOUT = """Durable workflows for a game and its customers. Errors are problem documents
(RFC 9457); `code` is for programs. A 500 `internal_error` is a defect and told of nowhere else."""


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document of these operations."""
    types = [of_address(each.type) for one in operations for each in one.parameters]
    bodies = [each.body for each in operations if each.body not in {None, bytes}]
    answers = [each.answer for each in operations]
    schemas, structs = components([*types, *bodies, *answers, Problem])
    of_type = iter(schemas)
    paths: dict[str, Any] = {}
    parameters = {
        (one.method, one.path): [_parameter(each, next(of_type), one) for each in one.parameters]
        for one in operations
    }
    of_body = dict(zip(bodies, schemas[len(types) :], strict=False))
    of_answer = dict(zip(answers, schemas[len(types) + len(bodies) :], strict=False))
    for each in operations:
        body = _body(each, of_body.get(each.body), structs)
        described: dict[str, Any] = {
            "operationId": _name(each),
            "summary": each.summary,
            "tags": [_tag(each)],
            "parameters": parameters[each.method, each.path] + _headers(each),
            "responses": _responses(each, of_answer[each.answer]),
        }
        if each.description:
            described["description"] = each.description
        if body:
            described["requestBody"] = body
        if each.is_open:
            described["security"] = []
        paths.setdefault(each.path, {})[each.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PadawanForge Workflows",
            "version": version,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in sorted({_tag(each) for each in operations})],
        "paths": paths,
        "components": {
            "schemas": structs,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _parameter(parameter: Parameter, schema: dict[str, Any], one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "schema": {name: value for name, value in schema.items() if name != "default"},
    }
    example = _example(one)
    if isinstance(example, dict) and parameter.name in example:
        found["example"] = example[parameter.name]
    return found


def _headers(one: Operation) -> list[dict[str, Any]]:
    if not one.idempotency_key:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Repeats of the request with this key are carried out once.",
            "schema": KEY_SCHEMA,
        }
    ]


def _example(one: Operation) -> Any:
    if one.subject is None or one.body is bytes:
        return None
    found = examples.of(one.subject)
    return {"instances": [found]} if one.path.endswith("/batch") else found


def _body(
    one: Operation, schema: dict[str, Any] | None, structs: dict[str, Any]
) -> dict[str, Any] | None:
    if one.body is bytes:
        anything: dict[str, Any] = {"schema": {}}
        return {"required": True, "content": {"application/json": anything}}
    if schema is None:
        return None
    content: dict[str, Any] = {"schema": schema}
    whole = structs[one.body.__name__]
    required = [each for each in whole.get("required", []) if each not in one.optional]
    if one.optional:
        in_path = {each.name for each in one.parameters if each.place == "path"}
        fields = {k: v for k, v in whole["properties"].items() if k not in in_path}
        content["schema"] = {**whole, "properties": fields, "required": required}
        content["schema"].pop("title", None)
    example = _example(one)
    if isinstance(example, dict):
        given = cast("dict[str, Any]", example)
        known = content["schema"].get("properties", given)
        content["example"] = {name: value for name, value in given.items() if name in known}
    return {"required": bool(required), "content": {"application/json": content}}


def _responses(one: Operation, answer: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": answer}
    example = examples.answer(getattr(one.answer, "__name__", ""))
    if example is not None:
        content["example"] = example
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {"type": "string"}}}
    if one.located:
        headers["Location"] = {"schema": {"type": "string"}}
    found: dict[str, Any] = {
        str(one.status): {
            "description": HTTPStatus(one.status).phrase,
            "headers": headers,
            "content": {one.media_type: content},
        }
    }
    if one.path == "/readyz":
        found["503"] = {**found["200"], "description": "It cannot serve now"}
    for status in sorted({STATUSES[code] for code in one.codes}):
        codes = sorted({code for code in one.codes if STATUSES[code] == status})
        found[str(status)] = _problem(status, codes)
    return found


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/Problem"}],
                    "properties": {"code": {"enum": codes}, "status": {"const": status}},
                }
            }
        },
    }
    header = {401: "WWW-Authenticate", 503: "Retry-After"}.get(status)
    if header is not None:
        found["headers"] = {header: {"required": True, "schema": {"type": "string"}}}
    return found


def _tag(one: Operation) -> str:
    first, *rest = one.path.strip("/").split("/")
    return rest[0] if first == "api" else "system"


def _name(one: Operation) -> str:
    return "_".join([one.method.lower(), *re.findall(r"[A-Za-z0-9]+", one.path)])
