"""Takes what games report, and gives the xp that it is worth."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from services.player.handlers.players import active, progress
from services.player.models import Entry, PlayerState
from services.player.rules import ledger, rewards, sessions
from services.player.store import FactStore, LedgerStore, SessionStore
from shared.messages.player import (
    ActivityReported,
    LoggedIn,
    MessageSent,
    Player,
    PlayerLoggedIn,
    Progress,
    Session,
    SessionCompleted,
    SessionReported,
)
from shared.messages.problems import Refused
from shared.messages.workflows import StartPlayer
from shared.runtime.handling import AnyHandler, Handler, Work


def facts(reset_hour: int = 0) -> tuple[AnyHandler, ...]:
    """The handlers of facts, for reward days that begin at `reset_hour`."""
    taken = Facts(reset_hour)
    return (
        Handler("login", LoggedIn, taken.log_in),
        Handler("session", SessionReported, taken.record_session),
        Handler("message", MessageSent, taken.record_message),
        Handler("activity", ActivityReported, taken.record_activity),
    )


class Facts:
    """One method a fact; each can be taken any number of times and counts once."""

    def __init__(self, reset_hour: int):
        self._reset_hour = reset_hour

    async def log_in(self, work: Work, fact: LoggedIn) -> Player:
        """Starts the player's run of the day; the id makes it one, however many logins come."""
        store = FactStore(work.connection, fact.player_id)
        state = await active(store, fact.player_id)
        at = sessions.happened_at(fact.at, work.now)
        if await store.log("login", work.key, at):
            await self._earn(work, store, state, "first_login", "first_login")
            work.publish(PlayerLoggedIn(player_id=fact.player_id))
        day = rewards.reward_day(work.now, state.timezone, self._reset_hour)
        work.start(StartPlayer(id=f"login-{fact.player_id}-{day}", player_id=fact.player_id))
        return await store.set_last_login(at)

    async def record_session(self, work: Work, fact: SessionReported) -> Session:
        """Keeps what is known of a session, and gives its score once it is completed."""
        check_session(fact)
        report = sessions.as_session(fact, work.now)
        if report.player_id is not None:
            return await self._record(work, report, report.player_id)
        known = await SessionStore(work.connection).find(report.id)
        if known is None or known.player_id is None:
            return await self._keep(work, known, report)
        # Whose session it is need not be said twice.
        return await self._record(work, replace(report, player_id=known.player_id), known.player_id)

    async def record_message(self, work: Work, fact: MessageSent) -> Progress:
        """Keeps a message."""
        store = FactStore(work.connection, fact.player_id)
        player = await active(store, fact.player_id)
        at = sessions.happened_at(fact.at, work.now)
        if await store.add_message(fact.message_id, fact.text, at) != fact.player_id:
            raise Refused(
                "message_of_another_player",
                f"message {fact.message_id} is another player's: send each message its own id",
                status=409,
                field="messageId",
            )
        await self._earn(work, store, player, "chat_message", str(fact.message_id))
        return await progress(work, fact.player_id)

    async def record_activity(self, work: Work, fact: ActivityReported) -> Progress:
        """Gives the xp of an activity, once per source."""
        store = FactStore(work.connection, fact.player_id)
        player = await active(store, fact.player_id)
        await store.log(fact.event, fact.source_id, sessions.happened_at(fact.at, work.now))
        await self._earn(work, store, player, fact.event, fact.source_id)
        return await progress(work, fact.player_id)

    async def _record(self, work: Work, report: Session, player_id: UUID) -> Session:
        store = FactStore(work.connection, player_id)
        player = await active(store, player_id)
        known = await SessionStore(work.connection).find(report.id)
        if known is not None and known.player_id != player_id:
            raise another_players_session(report)
        if not sessions.becomes_completed(known, sessions.merge(known, report)):
            return await self._keep(work, known, report)
        is_new = await self._earn(
            work, store, player, "session", str(report.id), score=report.score
        )
        if is_new:
            work.publish(
                SessionCompleted(player_id=player_id, session_id=report.id, score=report.score)
            )
        # One that has given its xp, but is not completed, was counted and deleted by retention.
        return await self._keep(work, known, report, folded_at=None if is_new else work.now)

    async def _earn(
        self,
        work: Work,
        store: LedgerStore,
        player: PlayerState,
        event: str,
        key: str,
        *,
        score: int = 0,
    ) -> bool:
        """Gives what an event is worth; False when its source has given it before."""
        day = rewards.reward_day(work.now, player.timezone, self._reset_hour)
        xp = ledger.earned_xp(await store.earning(event, day), score)
        entry = Entry(kind=event, key=key, reason=event, xp=xp, day=day)
        return await store.grant([entry], work.actor, work.now) > 0

    async def _keep(
        self,
        work: Work,
        known: Session | None,
        report: Session,
        *,
        folded_at: datetime | None = None,
    ) -> Session:
        merged = sessions.merge(known, report)
        if merged != known and not await SessionStore(work.connection).save(merged, folded_at):
            raise another_players_session(report)
        return merged


def check_session(fact: SessionReported) -> None:
    """Raises Refused for counts or instants that cannot be."""
    if fact.correct > fact.answered:
        raise Refused(
            "more_correct_than_answered",
            f"{fact.correct} correct of {fact.answered} answered: send at most as many",
            field="correct",
        )
    if fact.started_at and fact.ended_at and fact.ended_at < fact.started_at:
        raise Refused(
            "ends_before_it_starts",
            "`endedAt` is before `startedAt`: send instants in order",
            field="endedAt",
        )


def another_players_session(report: Session) -> Refused:
    """Why the report cannot be taken."""
    return Refused(
        "session_of_another_player",
        f"session {report.id} is another player's, or a guest's: send each session its own id",
        status=409,
        field="sessionId",
    )
