"""Rows of the engine's tables as its records, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from shared.messages.workflows import ErrorInfo, Status
from shared.workflow.records import (
    Entry,
    InboxMessage,
    Instance,
    InstanceKey,
    OutboxMessage,
    Parent,
    StreamPosition,
)


def instance(row: asyncpg.Record) -> Instance:
    """A row of workflow_instances."""
    return Instance(
        key=InstanceKey(row["kind"], row["id"]),
        run=row["run"],
        epoch=row["epoch"],
        generation=row["generation"],
        version=row["version"],
        status=Status(row["status"]),
        input=row["input"].encode(),
        actor=row["actor"],
        idempotency_key=row["idempotency_key"],
        body_hash=row["body_hash"],
        event_sequence=row["event_sequence"],
        claims_without_progress=row["claims_without_progress"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        wake_at=row["wake_at"],
        output=_bytes(row["output"]),
        error=_error(row["error"]),
        rollback=row["rollback"],
        ending=None if row["ending"] is None else Status(row["ending"]),
        control=_position(row["control_stream"], row["control_seq"]),
        restart=_position(row["restart_stream"], row["restart_seq"]),
        parent=parent(row["parent"]),
        trace=row["trace"],
        retired=row["retired_at"] is not None,
    )


def entry(row: asyncpg.Record) -> Entry:
    """A row of workflow_journal."""
    return Entry(
        path=row["path"],
        name=row["name"],
        occurrence=row["occurrence"],
        position=row["position"],
        type=row["type"],
        state=row["state"],
        attempts=row["attempts"],
        ordinal=row["ordinal"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        due_at=row["due_at"],
        age_seconds=row["age_seconds"],
        result=_bytes(row["result"]),
        error=_error(row["error"]),
    )


def message(row: asyncpg.Record) -> OutboxMessage:
    """A row of outbox."""
    return OutboxMessage(
        id=row["message_id"],
        subject=row["subject"],
        headers=msgspec.json.decode(row["headers"], type=dict[str, str]),
        body=row["body"],
    )


def inbox_message(row: asyncpg.Record) -> InboxMessage:
    """A row of inbox."""
    return InboxMessage(
        seq=row["seq"],
        message_id=row["message_id"],
        category=row["category"],
        type=row["type"],
        payload=row["payload"].encode(),
        actor=row["actor"],
        position=StreamPosition(row["stream"], row["stream_seq"]),
        created_at=row["created_at"],
    )


def inbox_parameters(key: InstanceKey, message: InboxMessage) -> tuple[Any, ...]:
    """A message as the parameters of the KEEP_MESSAGE statement."""
    return (
        key.kind,
        key.id,
        message.message_id,
        message.category,
        message.type,
        message.payload.decode(),
        message.actor,
        message.position.stream_created,
        message.position.sequence,
        message.created_at,
    )


def parent(text: str | None) -> Parent | None:
    """Who started the instance, if another did."""
    return None if text is None else Parent.parse(text)


class JournalRow(msgspec.Struct, frozen=True):
    """An entry as the CHECKPOINT statement takes it."""

    path: str
    name: str
    occurrence: int
    position: int
    type: str
    state: str
    attempts: int
    ordinal: int
    started_at: datetime
    finished_at: datetime | None
    due_at: datetime | None


def journal_parameters(entries: Sequence[Entry]) -> tuple[Any, ...]:
    """Entries as the parameters of the CHECKPOINT statement: rows, results and errors."""
    found = [
        JournalRow(
            path=entry.path,
            name=entry.name,
            occurrence=entry.occurrence,
            position=entry.position,
            type=entry.type,
            state=entry.state,
            attempts=entry.attempts,
            ordinal=entry.ordinal,
            started_at=entry.started_at,
            finished_at=entry.finished_at,
            due_at=entry.due_at,
        )
        for entry in entries
    ]
    return (
        msgspec.json.encode(found).decode(),
        [json_text(entry.result) for entry in entries],
        [error_text(entry.error) for entry in entries],
    )


def message_columns(messages: Sequence[OutboxMessage]) -> tuple[list[Any], ...]:
    """Messages as the arrays of the CHECKPOINT and ENQUEUE statements."""
    return (
        [m.id for m in messages],
        [m.subject for m in messages],
        [msgspec.json.encode(m.headers).decode() for m in messages],
        [m.body for m in messages],
    )


def json_text(encoded: bytes | None) -> str | None:
    """JSON bytes as a json parameter."""
    return None if encoded is None else encoded.decode()


def error_text(error: ErrorInfo | None) -> str | None:
    """An error as a json parameter."""
    return None if error is None else msgspec.json.encode(error).decode()


def _position(stream: str | None, sequence: int | None) -> StreamPosition | None:
    return None if stream is None or sequence is None else StreamPosition(stream, sequence)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _error(text: str | None) -> ErrorInfo | None:
    return None if text is None else msgspec.json.decode(text, type=ErrorInfo)
