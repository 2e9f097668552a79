"""What games report: logins, messages, sessions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.player.store import rows
from services.player.store.ledger import LedgerStore
from shared.messages.player import Player, Session
from shared.workflow.ports import Connection


class FactStore(LedgerStore):
    """What is known of one player from outside."""

    async def log(self, event: str, key: str, at: datetime) -> bool:
        """Keeps that something happened; False when it is known."""
        logged = await self._connection.fetchval(
            """
            INSERT INTO event_logs (player_uuid, event, source_key, created_at)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (player_uuid, event, source_key) DO NOTHING
            RETURNING true
            """,
            self._player_id,
            event,
            key,
            at,
        )
        return logged is not None

    async def set_last_login(self, at: datetime) -> Player:
        """Moves the last login forward, never back."""
        row = await self._connection.fetchrow(
            """
            UPDATE players SET last_login = greatest(last_login, $2)
            WHERE uuid = $1 RETURNING *
            """,
            self._player_id,
            at,
        )
        return rows.player(row)

    async def add_message(self, message_id: UUID, text: str, at: datetime) -> UUID:
        """Keeps a message unless its id is known; returns whose message of that id it is."""
        # The update changes nothing: DO NOTHING would return no row.
        owner: UUID = await self._connection.fetchval(
            """
            INSERT INTO messages AS m (id, player_uuid, text, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (id) DO UPDATE SET player_uuid = m.player_uuid
            RETURNING m.player_uuid
            """,
            message_id,
            self._player_id,
            text,
            at,
        )
        return owner


class SessionStore:
    """Game sessions, of players and of guests."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def find(self, session_id: UUID) -> Session | None:
        """The session as it is known."""
        row = await self._connection.fetchrow(
            "SELECT * FROM game_sessions WHERE id = $1", session_id
        )
        return None if row is None else rows.session(row)

    async def save(self, session: Session, folded_at: datetime | None) -> bool:
        """Writes a session; False when another player has taken the id meanwhile."""
        saved = await self._connection.fetchval(
            """
            INSERT INTO game_sessions AS s
                (id, player_uuid, status, difficulty, started_at, ended_at, score, correct,
                 answered, best_streak, folded_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (id) DO UPDATE SET
                status = excluded.status, difficulty = excluded.difficulty,
                started_at = excluded.started_at, ended_at = excluded.ended_at,
                score = excluded.score, correct = excluded.correct,
                answered = excluded.answered, best_streak = excluded.best_streak,
                folded_at = coalesce(s.folded_at, excluded.folded_at)
            WHERE s.player_uuid IS NOT DISTINCT FROM excluded.player_uuid
            RETURNING true
            """,
            session.id,
            session.player_id,
            session.status,
            session.difficulty,
            session.started_at,
            session.ended_at,
            session.score,
            session.correct,
            session.answered,
            session.best_streak,
            folded_at,
        )
        return saved is not None
