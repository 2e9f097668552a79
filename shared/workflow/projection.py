"""The status document of an instance, made from its row and its journal alone."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.messages.base import MAX_CONTENT_BYTES, encode
from shared.messages.workflows import StatusDocument, StepStatus
from shared.workflow.records import Entry, Instance

OUTPUT_ROOM_BYTES = MAX_CONTENT_BYTES // 2
"""A larger output is left out, so that steps and errors always fit beside it (rule 30)."""


def project(instance: Instance, entries: Iterable[Entry]) -> StatusDocument:
    """What the gateway shows of the instance."""
    # As they began, whatever path they are on; a patch is no operation.
    ordered = sorted(
        (entry for entry in entries if entry.type != "patch"),
        key=lambda entry: (entry.ordinal, entry.path, entry.position),
    )
    failed = [
        entry.error
        for entry in ordered
        # That of a parallel is the error of one of its branches.
        if entry.state in {"failed", "unknown"} and entry.error and entry.type != "parallel"
    ]
    output = instance.output or b"null"
    omitted = instance.retired or len(output) > OUTPUT_ROOM_BYTES
    error = instance.error
    return StatusDocument(
        workflow_id=instance.key.id,
        kind=instance.key.kind,
        status=instance.status,
        created_at=instance.created_at,
        updated_at=instance.updated_at,
        started_at=instance.started_at,
        finished_at=instance.finished_at,
        completed_steps=tuple(
            entry.name
            for entry in ordered
            if entry.type in {"step", "call"} and entry.state == "complete"
        ),
        errors=(*failed, *([error] if error is not None and error not in failed else [])),
        steps=tuple(
            StepStatus(
                name=entry.name,
                type=entry.type,
                status=entry.state,
                attempts=entry.attempts,
                started_at=entry.started_at,
                finished_at=entry.finished_at,
                error=entry.error,
            )
            for entry in ordered
        ),
        output=msgspec.Raw(b"null" if omitted else output),
        output_omitted=omitted,
        error=error,
        wake_at=instance.wake_at,
        rollback=instance.rollback,
        generation=instance.generation,
        version=instance.version,
        body_hash=instance.body_hash,
        idempotency_key=instance.idempotency_key,
        actor=instance.actor,
    )


def document(instance: Instance, entries: Iterable[Entry]) -> bytes:
    """The projection as the bucket stores it."""
    return encode(project(instance, entries))
