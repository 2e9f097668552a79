"""What the gateway answers is what its description says, whatever it is sent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.gateway.description import routes as description
from tests.integration.gateway.houses import API_KEY, Http, house

MakeDatabase = Callable[[str], Awaitable[str]]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
)
SEED = int(os.environ.get("SEED", "1"))
MAX_EXAMPLES = int(os.environ.get("EXAMPLES", "12"))


@pytest.fixture
async def whole(nats_url: str, make_database: MakeDatabase) -> AsyncIterator[Http]:
    databases = {name: await make_database(name) for name in ("player", "billing", "maintenance")}
    async with house(nats_url, databases) as http:
        yield http


@pytest.mark.parametrize("path", [each.path for each in description.OPERATIONS])
async def test_the_description_needs_no_key_and_names_no_other_host(http: Http, path: str) -> None:
    async with http.get(path, headers={"Authorization": ""}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        text = await answer.text()
    if path in {"/docs", "/docs/start.js"}:
        assert "//" not in text.replace("<!DOCTYPE html>", "")


async def test_schemathesis_finds_no_answer_that_the_description_does_not_tell(
    whole: Http, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(whole.make_url("/openapi.json"))),
        *("--header", f"Authorization: Bearer {API_KEY}"),
        *("--phases", "examples,coverage,fuzzing", "--mode", "all"),
        *("--checks", ",".join(CHECKS)),
        *("--max-examples", str(MAX_EXAMPLES), "--seed", str(SEED)),
        *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--no-color", "--warnings", "off"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
