"""The API keys' rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shared.jetstream.api_keys import KnownKey
from shared.messages.maintenance import ApiKey, CreateApiKey
from shared.postgres.transaction import advisory_lock_id
from shared.workflow.ports import Connection

_LOCK = "SELECT pg_advisory_xact_lock($1)"

_COLUMNS = "id, name, scopes, rate_per_second, created_at, created_by, revoked_at, revoked_by"

_ADD = """
    INSERT INTO api_keys
        (id, name, secret_sha256, scopes, rate_per_second, created_at, created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO NOTHING
    RETURNING true
"""

_REVOKE = """
    UPDATE api_keys SET
        revoked_at = coalesce(revoked_at, $2),
        revoked_by = coalesce(revoked_by, $3)
    WHERE id = $1
"""

_ONE = f"SELECT {_COLUMNS} FROM api_keys WHERE id = $1"  # noqa: S608 - a constant of this file

_ALL = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at DESC, id"  # noqa: S608 - as above

_VALID = """
    SELECT id, secret_sha256, scopes, rate_per_second FROM api_keys WHERE revoked_at IS NULL
"""


_WIRE = {field.name: field.encode_name for field in msgspec.structs.fields(ApiKey)}


class KeyStore:
    """On the connection of one transaction."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def lock(self) -> None:
        """Lets one transaction at a time change keys or show them to the gateways."""
        await self._connection.execute(_LOCK, advisory_lock_id("maintenance", "api_keys", ""))

    async def add(self, key: CreateApiKey, now: datetime, actor: str) -> bool:
        """Whether it was added: False for an id that exists."""
        added = await self._connection.fetchval(
            _ADD,
            key.id,
            key.name,
            key.secret_sha256,
            list(key.scopes),
            key.rate_per_second,
            now,
            actor,
        )
        return added is True

    async def revoke(self, key_id: str, now: datetime, actor: str) -> None:
        """For ever; the first time counts."""
        await self._connection.execute(_REVOKE, key_id, now, actor)

    async def one(self, key_id: str) -> ApiKey | None:
        """The key, also a revoked one."""
        row = await self._connection.fetchrow(_ONE, key_id)
        return None if row is None else _key(row)

    async def all(self) -> tuple[ApiKey, ...]:
        """All there ever were, the newest first."""
        return tuple(map(_key, await self._connection.fetch(_ALL)))

    async def valid(self) -> dict[str, KnownKey]:
        """What the gateways need of those that are not revoked, by id."""
        return {
            row["id"]: KnownKey(
                secret_sha256=row["secret_sha256"],
                scopes=tuple(row["scopes"]),
                rate_per_second=row["rate_per_second"],
            )
            for row in await self._connection.fetch(_VALID)
        }


def _key(row: Any) -> ApiKey:
    return msgspec.convert({_WIRE[name]: value for name, value in row.items()}, ApiKey)
