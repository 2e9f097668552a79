"""Which errors are the database's trouble rather than the statement's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from shared.workflow.errors import Transient

TRANSIENT = (
    asyncpg.exceptions.PostgresConnectionError,
    asyncpg.exceptions.TransactionRollbackError,  # serialization failures and deadlocks
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.OperatorInterventionError,  # shutdowns; cancellation is taken out below
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.IdleInTransactionSessionTimeoutError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a primary that has become a standby
    asyncpg.exceptions.InvalidCachedStatementError,  # prepared before a migration
    asyncpg.exceptions.InternalClientError,
)


def is_trouble(error: BaseException) -> bool:
    """Whether the statement may succeed as it is once the database is well again."""
    if isinstance(error, asyncpg.exceptions.QueryCanceledError):
        return False
    return isinstance(error, TRANSIENT)


@asynccontextmanager
async def transient_trouble(doing: str) -> AsyncGenerator[None]:
    """Turns what can go wrong with the server or the way to it into Transient."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, ValueError):
            # A parameter that fits no column, found before anything was sent: it never will.
            raise
        _unless_cancelled(error)
        # The library's InternalClientError is how it meets a session that the server has ended.
        raise Transient(f"PostgreSQL, {doing}: {str(error) or type(error).__name__}") from error
    except asyncpg.PostgresError as error:
        if is_trouble(error):
            _unless_cancelled(error)
            raise Transient(f"PostgreSQL, {doing}: {error}") from error
        raise


def _unless_cancelled(error: Exception) -> None:
    """Giving a connection back in the middle of a statement may raise, and would so swallow the
    cancellation that it was given back for: a loop that takes trouble in its stride never ended.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
