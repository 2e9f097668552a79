"""`padawanforge person`: exports and erasures of people, through the API of a running stack."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import msgspec
from rich.console import Console

from services.clock import parse_instant
from services.stack.folder import running_stack
from shared.messages.base import encode
from shared.messages.persons import Erasure, Erasures, PersonErased, PersonExported
from shared.messages.problems import Problem
from shared.messages.workflows import (
    OfPerson,
    StartPersonErasure,
    StartPersonExport,
    Status,
    WorkflowStatus,
)
from shared.runtime.embedded.private import write_private

POLL_SECONDS = 0.2
ANSWER_SECONDS = 60.0


class PersonError(Exception):
    """It was refused, or did not end well; the message says why and what to do."""


async def export(folder: Path, player: UUID | None, customer: UUID | None, to: Path) -> str:
    """Writes all that is known of a person into a file that only its owner reads.

    Raises PersonError.
    """
    if await asyncio.to_thread(to.exists):
        raise PersonError(f"{to} exists: name another file")
    _check_named(player, customer)
    trigger = StartPersonExport(id=f"export-{uuid4()}", player_id=player, customer_id=customer)
    async with _api(folder) as api:
        ended = await _run(api, trigger)
        document = await _asked(api, "GET", f"/api/persons/exports/{ended.workflow_id}")
    await asyncio.to_thread(write_private, to, document)
    parts = msgspec.json.decode(ended.output, type=PersonExported).parts
    told = ", ".join(f"{each.rows} rows of {each.service}" for each in parts)
    return f"{told} are in {to}"


async def erase(folder: Path, player: UUID | None, customer: UUID | None) -> str:
    """Erases a person for good. Raises PersonError, also for who has something under way."""
    _check_named(player, customer)
    trigger = StartPersonErasure(id=f"erasure-{uuid4()}", player_id=player, customer_id=customer)
    async with _api(folder) as api:
        return _erased(await _run(api, trigger))


async def erase_again(folder: Path, since: str, console: Console) -> bool:
    """Repeats every erasure since an instant, as after a restore; whether all of them ended well.

    Raises PersonError, and ClockError for what is no instant.
    """
    instant = parse_instant(since)
    good = True
    async with _api(folder) as api:
        for each in await _erasures(api, instant.isoformat()):
            trigger = StartPersonErasure(
                id=f"erasure-{uuid4()}",
                player_id=each.player_id,
                customer_id=each.customer_id,
                again=True,
            )
            about = f"player {each.player_id}, customer {each.customer_id}"
            try:
                console.print(f"{about}: {_erased(await _run(api, trigger))}")
            except PersonError as error:
                good = False
                console.print(f"{about}: {error}")
    return good


async def _erasures(api: aiohttp.ClientSession, since: str) -> list[Erasure]:
    """Each person once, whole lists read before the first is repeated, which adds to them."""
    found: dict[tuple[UUID | None, UUID | None], Erasure] = {}
    query = {"since": since, "limit": "1000"}
    while True:
        body = await _asked(api, "GET", "/api/persons/erasures", query=query)
        page = msgspec.json.decode(body, type=Erasures)
        for each in page.erasures:
            found.setdefault((each.player_id, each.customer_id), each)
        if page.next_cursor is None:
            return list(found.values())
        query["cursor"] = page.next_cursor


async def _run(api: aiohttp.ClientSession, trigger: OfPerson) -> WorkflowStatus:
    """The workflow once it is complete."""
    await _asked(api, "POST", f"/api/workflows/{trigger.kind}", encode(trigger))
    path = f"/api/workflows/{trigger.id}"
    while True:
        body = await _asked(api, "GET", path, query={"kind": trigger.kind})
        status = msgspec.json.decode(body, type=WorkflowStatus)
        if status.status is Status.COMPLETE:
            return status
        if status.status.ended:
            error = status.error
            why = status.status if error is None else f"{error.message} ({error.name})"
            raise PersonError(f"{trigger.kind} {trigger.id}: {why}")
        await asyncio.sleep(POLL_SECONDS)


async def _asked(
    api: aiohttp.ClientSession,
    method: str,
    path: str,
    body: bytes | None = None,
    query: dict[str, str] | None = None,
) -> bytes:
    headers = {"Content-Type": "application/json"}
    try:
        async with api.request(method, path, data=body, params=query, headers=headers) as answer:
            read = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise PersonError(f"the gateway does not answer: {error}") from error
    if answer.status >= 400:
        problem = msgspec.json.decode(read, type=Problem)
        raise PersonError(f"{problem.detail} ({problem.code})")
    return read


def _check_named(player: UUID | None, customer: UUID | None) -> None:
    if player is None and customer is None:
        raise PersonError("name the person: give --player, --customer or both")


def _erased(ended: WorkflowStatus) -> str:
    done = msgspec.json.decode(ended.output, type=PersonErased)
    where = " and ".join(done.services) or "no service, which knew nobody of these ids"
    return f"erased from {where}; {done.exports_deleted} exports deleted"


@asynccontextmanager
async def _api(folder: Path) -> AsyncGenerator[aiohttp.ClientSession]:
    """The stack's gateway, or that of GATEWAY_URL and GATEWAY_API_KEY."""
    url, key = os.environ.get("GATEWAY_URL"), os.environ.get("GATEWAY_API_KEY")
    if url is None or key is None:
        stack = running_stack(folder)
        url, key = stack.gateway, stack.api_key
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as session:
        yield session
