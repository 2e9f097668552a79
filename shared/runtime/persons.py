"""Errands about a person, which each service answers that holds personal data."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from shared.messages.persons import (
    ExportPerson,
    PersonOfErasure,
    PersonPart,
    PersonState,
)
from shared.messages.problems import Refused
from shared.postgres.persons import PersonReader, Section
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble
from shared.runtime.handling import AnyErrand, Errand
from shared.runtime.surroundings import Surroundings
from shared.workflow.ports import Connection

ACQUIRE_SECONDS = 5
PAGE_ROWS = 200
PAGE_BYTES = 256 * 1024
"""A page ends with the row that reaches it; no row is half as long."""


class PersonOwner(Protocol):
    """What one service has about persons."""

    sections: Sequence[Section]
    """Every table with rows about a person, in the order of an export."""

    async def state(self, connection: Connection, person_id: UUID) -> PersonState:
        """Where the person stands; held by whatever erasure."""
        ...

    async def hold(self, connection: Connection, person: PersonOfErasure) -> PersonState:
        """Lets nothing new begin for the person, from this transaction on; again changes nothing.

        Raises Refused for who cannot be erased now, with what to do first.
        """
        ...

    async def release(self, connection: Connection, person: PersonOfErasure) -> None:
        """Ends this erasure's hold, if there is one; who is erased stays so."""
        ...

    async def erase(self, surroundings: Surroundings, person: PersonOfErasure) -> None:
        """Erases who is held, for good; whoever is interrupted does it again."""
        ...


class PersonErrands:
    """One method an errand."""

    def __init__(self, owner: PersonOwner):
        self._owner = owner

    def errands(self) -> tuple[AnyErrand, ...]:
        """As a service takes them."""
        return (
            Errand("export_person", ExportPerson, self.export),
            Errand("hold_person", PersonOfErasure, self.hold),
            Errand("release_person", PersonOfErasure, self.release),
            Errand("erase_person", PersonOfErasure, self.erase),
        )

    async def export(self, surroundings: Surroundings, request: ExportPerson) -> PersonPart:
        """A page of what there is; of nobody it is empty."""
        tables = {each.table: each for each in self._owner.sections}
        name, _, after = (request.cursor or "").partition("/")
        if request.cursor is not None and name not in tables:
            raise Refused("invalid_cursor", f"there is no table {name!r}", field="cursor")
        left = list(tables)[list(tables).index(name) if name else 0 :]
        page: dict[str, tuple[msgspec.Raw, ...]] = {}
        async with transaction(surroundings, "export a person") as connection:
            reader = PersonReader(connection, request.id)
            for table in left:
                rows = await reader.rows(tables[table], after or None, PAGE_ROWS)
                after = ""
                kept = within_bytes(rows)
                if kept:
                    page[table] = tuple(msgspec.Raw(row) for _, row in kept)
                if len(kept) == PAGE_ROWS or len(kept) < len(rows):
                    return PersonPart(tables=page, next_cursor=f"{table}/{kept[-1][0]}")
                if sum(len(row) for rows in page.values() for row in rows) > PAGE_BYTES:
                    return PersonPart(tables=page, next_cursor=following(left, table))
        return PersonPart(tables=page)

    async def hold(self, surroundings: Surroundings, person: PersonOfErasure) -> PersonState:
        """Lets nothing new begin; refuses, with the reason, who has something under way."""
        async with transaction(surroundings, "hold a person") as connection:
            return await self._owner.hold(connection, person)

    async def release(self, surroundings: Surroundings, person: PersonOfErasure) -> PersonState:
        """Calls this erasure's hold off."""
        async with transaction(surroundings, "release a person") as connection:
            await self._owner.release(connection, person)
            return await self._owner.state(connection, person.id)

    async def erase(self, surroundings: Surroundings, person: PersonOfErasure) -> PersonState:
        """Erases for good; who is erased already, once more, and who is not there, not at all."""
        async with transient_trouble("erase a person"):
            await self._owner.erase(surroundings, person)
            async with surroundings.pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                return await self._owner.state(connection, person.id)


def within_bytes(rows: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The first rows, up to the one that reaches PAGE_BYTES."""
    kept: list[tuple[str, bytes]] = []
    size = 0
    for each in rows:
        kept.append(each)
        size += len(each[1])
        if size >= PAGE_BYTES:
            break
    return kept


def following(tables: Sequence[str], table: str) -> str | None:
    """The cursor of the next table's first row; None behind the last one."""
    later = tables[tables.index(table) + 1 :]
    return f"{later[0]}/" if later else None


@asynccontextmanager
async def transaction(surroundings: Surroundings, doing: str) -> AsyncGenerator[PooledConnection]:
    """A transaction on the service's pool. Raises Transient, naming `doing`."""
    async with (
        transient_trouble(doing),
        surroundings.pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
        connection.transaction(),
    ):
        yield connection


def check_present(held_by: str | None, *, erased: bool, field: str) -> None:
    """Raises Refused `person_erased` or `person_held`."""
    if erased:
        raise Refused(
            "person_erased",
            "this person was erased for good: create another one",
            status=410,
            field=field,
        )
    if held_by is not None:
        raise Refused(
            "person_held",
            f"the erasure {held_by} of this person is under way: wait for its end, or terminate it "
            "with a rollback",
            status=409,
            field=field,
        )


def check_holder(held_by: str | None, person: PersonOfErasure) -> None:
    """Raises Refused `person_held` where another erasure holds the person."""
    if held_by is not None and held_by != person.erasure:
        check_present(held_by, erased=False, field="id")


def check_held(held_by: str | None, person: PersonOfErasure) -> None:
    """Raises Refused `person_not_held` where this erasure does not hold the person."""
    if held_by != person.erasure:
        raise Refused(
            "person_not_held",
            f"the erasure {person.erasure} does not hold this person: have it held first",
            status=409,
            field="erasure",
        )


def state_of(
    person_id: UUID, *, found: bool, held_by: str | None = None, erased_at: datetime | None = None
) -> PersonState:
    """What a row says of the person."""
    if not found:
        return PersonState(id=person_id, state="absent")
    if erased_at is not None:
        return PersonState(id=person_id, state="erased")
    return PersonState(id=person_id, state="known" if held_by is None else "held")
