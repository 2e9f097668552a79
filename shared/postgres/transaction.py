"""A transaction on one instance, over asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import asyncpg

from shared.postgres import rows, statements
from shared.postgres.trouble import is_trouble, transient_trouble
from shared.workflow.errors import LostClaim, Transient, WorkflowMisuse
from shared.workflow.ports import Connection
from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    Committed,
    Entry,
    Instance,
    InstanceKey,
    Notice,
    Refusal,
)

if TYPE_CHECKING:
    # Generic in its stubs alone.
    PooledConnection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    PooledConnection = asyncpg.pool.PoolConnectionProxy


LOCK_PAUSES_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1)
"""A duplicate's claim holds an instance for as long as it takes to be refused; the run of its
owner must not be dropped for that."""


def advisory_lock_id(*parts: str) -> int:
    """A stable signed 64-bit id; advisory locks know only numbers."""
    digest = blake2b("/".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


@asynccontextmanager
async def body_left_intact() -> AsyncGenerator[None]:
    """Names the step that caught an error of its own statement, after which all fails."""
    try:
        yield
    except asyncpg.InFailedSQLTransactionError as error:
        raise WorkflowMisuse(
            "a step caught a database error and went on: let it raise, or run the statement "
            "in a savepoint"
        ) from error


class PostgresTransaction:
    """See ports.Transaction. Begins and ends on the connection that it is given."""

    def __init__(self, connection: PooledConnection, service: str):
        self._connection = connection
        self._service = service
        self.committed = False

    @property
    def connection(self) -> Connection:
        """For step bodies."""
        return self._connection

    async def begin(self) -> None:
        """Opens the transaction."""
        await self._connection.execute("BEGIN")

    async def claim(self, request: ClaimRequest) -> Claim | Refusal:
        """See ports.Transaction."""
        key, start = request.key, request.start
        common = (self._lock_id(key), key.kind, key.id, request.now, int(request.redelivered))
        async with transient_trouble("claim"):
            row: Any
            if start is None:
                row = await self._connection.fetchrow(statements.CLAIM_WAKE, *common)
            else:
                row = await self._connection.fetchrow(
                    statements.CLAIM_START,
                    *common,
                    rows.json_text(start.input),
                    start.actor,
                    start.idempotency_key,
                    start.body_hash,
                    start.created_at,
                    None if start.parent is None else str(start.parent),
                    start.trace,
                )
            if row["kind"] is None:
                return await self._refusal(request, held=not row["held"])
        return Claim(
            instance=rows.instance(row),
            created=row["created"],
            taken_over=row["taken_over"],
            unread=row["unread"],
        )

    async def journal(self, key: InstanceKey, run: int) -> list[Entry]:
        """See ports.Transaction."""
        async with transient_trouble("journal"):
            found = await self._connection.fetch(statements.JOURNAL, key.kind, key.id, run)
        return [rows.entry(row) for row in found]

    async def lock(self, instance: Instance, *, shared: bool = False) -> None:
        """See ports.Transaction."""
        held, owned = await self._try_lock(instance, shared)
        for pause_seconds in LOCK_PAUSES_SECONDS:
            if held:
                break
            await asyncio.sleep(pause_seconds)
            held, owned = await self._try_lock(instance, shared)
        if not held:
            raise Transient(f"{instance.key} is held by another transaction")
        if not owned:
            raise LostClaim

    async def _try_lock(self, instance: Instance, shared: bool) -> tuple[bool, bool]:
        """Whether the instance is held now, and whether its epoch is still ours."""
        key = instance.key
        async with transient_trouble("lock"):
            row: Any = await self._connection.fetchrow(
                statements.LOCK_SHARED if shared else statements.LOCK,
                self._lock_id(key),
                key.kind,
                key.id,
                instance.epoch,
            )
        return row["held"], row["owned"]

    def is_transient(self, error: Exception) -> bool:
        """See ports.Transaction."""
        return self._is_closed() or is_trouble(error)

    async def allow_idle(self, seconds: float) -> None:
        """See ports.Transaction."""
        async with transient_trouble("allow_idle"):
            await self._connection.execute(statements.ALLOW_IDLE, f"{int((seconds + 1) * 1000)}ms")

    async def write(self, instance: Instance, checkpoint: Checkpoint) -> Committed:
        """See ports.Transaction."""
        key = instance.key
        control, restart = instance.control, instance.restart
        async with transient_trouble("write"), body_left_intact():
            await self._write_beside(instance, checkpoint)
            row = await self._connection.fetchrow(
                statements.CHECKPOINT,
                key.kind,
                key.id,
                instance.run,
                instance.epoch,
                instance.version,
                checkpoint.status.value,
                checkpoint.now,
                checkpoint.event_sequence,
                checkpoint.wake_at,
                checkpoint.due_at,
                checkpoint.lease_seconds,
                checkpoint.progress,
                rows.json_text(checkpoint.output),
                rows.error_text(checkpoint.error),
                checkpoint.finished_at,
                *rows.journal_parameters(checkpoint.entries),
                str(key),
                *rows.message_columns(checkpoint.messages),
                instance.started_at,
                instance.rollback,
                None if instance.ending is None else instance.ending.value,
                None if control is None else control.stream_created,
                None if control is None else control.sequence,
                None if restart is None else restart.stream_created,
                None if restart is None else restart.sequence,
            )
        if row is None or row["journaled"] != len(checkpoint.entries):
            raise LostClaim
        return Committed(
            version=row["version"],
            generation=row["generation"],
            unread=tuple(row["unread"] or ()),
        )

    async def _write_beside(self, instance: Instance, checkpoint: Checkpoint) -> None:
        """What few checkpoints have; before the fence, which stays the last statement (rule 5)."""
        key = instance.key
        if checkpoint.taken:
            await self._connection.execute(statements.READ_INBOX, checkpoint.taken)
        if checkpoint.keep_before is not None:
            await self._connection.execute(
                statements.KEEP_BEFORE,
                key.kind,
                key.id,
                instance.run - 1,
                checkpoint.keep_before,
            )

    async def tell(self, notice: Notice) -> None:
        """See ports.Transaction."""
        async with transient_trouble("tell"):
            await self._connection.execute(
                statements.KEEP_MESSAGE, *rows.inbox_parameters(notice.to, notice.message)
            )

    async def commit(self) -> None:
        """See ports.Transaction."""
        try:
            tag = await self._connection.execute("COMMIT")
        except Exception as error:
            # Whatever it is, nobody knows whether the commit took effect (engine rule 7).
            raise Transient(f"PostgreSQL, commit: {error}") from error
        if tag != "COMMIT":
            raise Transient(f"PostgreSQL answered {tag} to COMMIT")
        self.committed = True

    async def end(self) -> None:
        """Rolls back what was not committed; a connection that cannot is given up."""
        if self.committed or self._is_closed():
            return
        try:
            await self._connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the server rolls back what is cut off
            if not self._is_closed():
                self._connection.terminate()

    async def _refusal(self, request: ClaimRequest, *, held: bool) -> Refusal:
        """Why the claim was not granted, as far as committed rows tell."""
        row = await self._connection.fetchrow(
            statements.REFUSAL, request.key.kind, request.key.id, request.now
        )
        if row is None:
            return Refusal(reason="absent" if request.start is None else "busy", held=held)
        reason = "busy" if row["claimable"] else _reason(row)
        return Refusal(
            reason=reason,
            held=held,
            parent=rows.parent(row["parent"]),
            retry_seconds=row["lease_left"] if reason == "leased" else None,
        )

    def _is_closed(self) -> bool:
        try:
            return self._connection.is_closed()
        except asyncpg.InterfaceError:
            # The pool took the connection back by itself when the server ended its session.
            return True

    def _lock_id(self, key: InstanceKey) -> int:
        return advisory_lock_id(self._service, key.kind, key.id)


def _reason(row: asyncpg.Record) -> str:
    if row["status"] in {"complete", "errored", "terminated"}:
        return "ended"
    if row["early"]:
        return "parked"
    if row["status"] == "paused":
        return "paused"
    return "leased" if row["lease_left"] else "busy"
