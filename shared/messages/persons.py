"""What the services that hold a person's data are asked when it is exported or erased."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.messages.base import Message, WorkflowId
from shared.messages.values import NO_NUL

PERSON_ERASED = "person_erased"
"""Code of every refusal about somebody who is gone for good."""
PERSON_HELD = "person_held"
"""Code of a refusal that passes: the erasure under way ends, or is called off."""

PartCursor = Annotated[str, Meta(pattern=NO_NUL, max_length=500)]


class ExportPerson(Message, frozen=True, kw_only=True):
    """`export_person`: what the service has about somebody, in pages; answers PersonPart."""

    id: UUID
    """Of the player, or of the customer: whom the service knows."""
    cursor: PartCursor | None = None
    """`nextCursor` of the page before."""


class PersonPart(Message, frozen=True, kw_only=True):
    """A page of rows, by table."""

    tables: dict[str, tuple[msgspec.Raw, ...]]
    next_cursor: PartCursor | None = None


class PersonOfErasure(Message, frozen=True, kw_only=True):
    """`hold_person`, `release_person`, `erase_person`: answers PersonState.

    Held, nothing new is begun for the person. Who is held by another erasure, or has something
    under way, is refused.
    """

    id: UUID
    erasure: WorkflowId
    """Of the erasure that holds: no other one releases or erases."""


class PersonState(Message, frozen=True, kw_only=True):
    """Where somebody stands in one service."""

    id: UUID
    state: Literal["absent", "known", "held", "erased"]


class ErasuresQuery(Message, frozen=True, kw_only=True):
    """`erasures`: who has been erased since an instant, the oldest first; answers Erasures."""

    since: Annotated[datetime, Meta(tz=True)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: WorkflowId | None = None
    """`nextCursor` of the page before."""


class Erasure(Message, frozen=True, kw_only=True):
    """That somebody was erased: ids, which lead to nobody any more."""

    workflow_id: str
    player_id: UUID | None
    customer_id: UUID | None
    erased_at: datetime


class Erasures(Message, frozen=True, kw_only=True):
    """A page."""

    erasures: tuple[Erasure, ...]
    next_cursor: str | None = None


class ExportedPart(Message, frozen=True, kw_only=True):
    """One service's part of an export."""

    service: str
    rows: int
    sha256: str
    """Of the part's bytes, as they stand in the document."""


class PersonExported(Message, frozen=True, kw_only=True):
    """Output of a `person_export`, and the document's manifest; it holds no personal data."""

    workflow_id: str
    exported_at: datetime
    parts: tuple[ExportedPart, ...]


class PersonErased(Message, frozen=True, kw_only=True):
    """Output of a `person_erasure`."""

    services: tuple[str, ...]
    """Those that knew the person."""
    erased_at: datetime
    exports_deleted: int = 0
