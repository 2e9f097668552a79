"""The services that hold personal data, and where what they export is put."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from typing import NamedTuple
from uuid import UUID

import msgspec

from services.maintenance.owners import Owners
from shared.jetstream.objects import Objects
from shared.messages.base import encode
from shared.messages.persons import (
    ExportedPart,
    ExportPerson,
    PersonExported,
    PersonOfErasure,
    PersonPart,
    PersonState,
)
from shared.messages.problems import Refused
from shared.messages.workflows import OfPerson
from shared.workflow.call import Call
from shared.workflow.errors import NonRetryableError, Transient

ANSWER_SECONDS = 30.0


class Owned(NamedTuple):
    """A person as one service knows them."""

    service: str
    id: UUID


def owned(person: OfPerson) -> list[Owned]:
    """Each service that holds something of the person, in the order in which they are asked."""
    by_service = {"billing": person.customer_id, "player": person.player_id}
    return [Owned(service, each) for service, each in by_service.items() if each is not None]


class Documents:
    """The bucket of exports, once it is given."""

    def __init__(self) -> None:
        self._objects: Objects | None = None

    def give(self, objects: Objects) -> None:
        """The bucket."""
        self._objects = objects

    async def put(self, workflow_id: str, document: bytes) -> None:
        """Keeps an export, in place of an earlier one of this id."""
        await self._given.put(workflow_id, BytesIO(document), {})

    async def delete(self, workflow_id: str) -> None:
        """Deletes an export, if it is there."""
        await self._given.delete(workflow_id)

    @property
    def _given(self) -> Objects:
        if self._objects is None:
            raise Transient("the service has not begun")
        return self._objects


class PersonOwners:
    """Asks the owners about a person, from calls of workflows."""

    def __init__(self, owners: Owners):
        self._owners = owners

    async def ask(self, call: Call, name: str, of: Owned) -> PersonState:
        """Has a service hold, release or erase somebody.

        Raises NonRetryableError for what it refuses, with its reason, and Unavailable.
        """
        request = PersonOfErasure(id=of.id, erasure=call.workflow_id)
        try:
            return await self._owners.command(
                of.service, name, request, PersonState, timeout_seconds=ANSWER_SECONDS
            )
        except Refused as refused:
            raise NonRetryableError(refused.code, f"{of.service}: {refused.detail}") from refused

    async def part(self, of: Owned) -> bytes:
        """All that a service has about somebody: rows by table, as JSON."""
        tables: dict[str, list[msgspec.Raw]] = {}
        cursor: str | None = None
        while True:
            page = await self._owners.command(
                of.service,
                "export_person",
                ExportPerson(id=of.id, cursor=cursor),
                PersonPart,
                timeout_seconds=ANSWER_SECONDS,
            )
            for table, rows in page.tables.items():
                tables.setdefault(table, []).extend(rows)
            if page.next_cursor is None:
                return encode(tables)
            cursor = page.next_cursor


def exported(call: Call, parts: dict[str, bytes]) -> tuple[PersonExported, bytes]:
    """The manifest of an export and its whole document."""
    manifest = PersonExported(
        workflow_id=call.workflow_id,
        exported_at=call.now,
        parts=tuple(
            ExportedPart(
                service=service,
                rows=rows_of(part),
                sha256=sha256(part).hexdigest(),
            )
            for service, part in parts.items()
        ),
    )
    raw = {service: msgspec.Raw(part) for service, part in parts.items()}
    return manifest, encode({"manifest": manifest, "parts": raw})


def rows_of(part: bytes) -> int:
    """How many rows a part has."""
    tables = msgspec.json.decode(part, type=dict[str, tuple[msgspec.Raw, ...]])
    return sum(map(len, tables.values()))
