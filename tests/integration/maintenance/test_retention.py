"""What has been kept long enough goes, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY

import services.maintenance
from services.maintenance.backlog import Backlog
from services.maintenance.owners import Owners
from services.maintenance.store.retention import RetentionStore
from services.maintenance.workflows.database import DatabaseCleanup
from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from services.player.store.retention import datasets
from shared.jetstream.requests import Unavailable
from shared.messages.base import Message
from shared.messages.maintenance import SetRetention
from shared.messages.retention import ApplyRetention, RetentionApplied, Vacuum, Vacuumed
from shared.messages.workflows import StartSystem
from shared.postgres.pool import create_pool
from shared.runtime.keeping import Dataset, apply, errands
from shared.runtime.surroundings import Surroundings
from shared.testing.clocks import ManualClock
from shared.testing.harness import Harness
from shared.testing.worlds import Servers
from shared.workflow.context import WorkflowContext
from shared.workflow.ports import Connection
from shared.workflow.registry import register
from tests.conftest import MakeDatabase

T = TypeVar("T")

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
PLAYER = UUID("7b0e6f0a-51d5-4c6e-8d3b-2f6f6a1c9e10")
MONTH = 30 * 86_400
CUTOFF = NOW - timedelta(days=30)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
async def game(make_database: MakeDatabase) -> AsyncIterator[Surroundings]:
    """The player's schema with one player in it."""
    pool = await create_pool(
        await make_database("player"), size=4, name="test", idle_timeout_seconds=30
    )
    await pool.execute("INSERT INTO players (uuid, created_at) VALUES ($1, $2)", PLAYER, NOW)
    yield Surroundings(clock=ManualClock(NOW), pool=pool, client=Client())
    pool.terminate()


def dataset(name: str) -> Dataset:
    [found] = [each for each in datasets() if each.name == name]
    return found


async def say(game: Surroundings, number: int, at: datetime) -> None:
    """So many messages of one instant."""
    await game.pool.execute(
        "INSERT INTO messages (id, player_uuid, text, created_at) "
        "SELECT gen_random_uuid(), $1, '', $2 FROM generate_series(1, $3)",
        PLAYER,
        at,
        number,
    )


async def play(
    game: Surroundings, status: str, ended_at: datetime, player: UUID | None = PLAYER, **set_: Any
) -> None:
    await game.pool.execute(
        "INSERT INTO game_sessions (id, player_uuid, status, difficulty, started_at, ended_at, "
        "score, correct, answered, best_streak, folded_at) "
        "VALUES (gen_random_uuid(), $1, $2, 'normal', $3, $3, 0, 0, 0, 0, $4)",
        player,
        status,
        ended_at,
        set_.get("folded_at"),
    )


def month(name: str, **changed: Any) -> ApplyRetention:
    return ApplyRetention(name=name, keep_seconds=MONTH, **changed)


async def test_what_is_strictly_older_goes(game: Surroundings) -> None:
    for at in (CUTOFF - INSTANT, CUTOFF, CUTOFF + INSTANT):
        await say(game, 1, at)
    applied = await apply(dataset("messages"), game, month("messages"))
    assert applied == RetentionApplied(deleted=1, done=True)
    assert await game.pool.fetchval("SELECT min(created_at) FROM messages") == CUTOFF


async def test_a_completed_session_stays_until_it_is_counted_and_guests_have_a_policy_of_their_own(
    game: Surroundings,
) -> None:
    old = CUTOFF - timedelta(days=1)
    await play(game, "completed", old)
    await play(game, "completed", old, folded_at=NOW)
    await play(game, "abandoned", old)
    await play(game, "completed", old, player=None)
    assert (await apply(dataset("sessions"), game, month("sessions"))).deleted == 2
    assert (await apply(dataset("guest_sessions"), game, month("guest_sessions"))).deleted == 1
    assert await game.pool.fetchval("SELECT count(*) FROM game_sessions") == 1


async def test_a_day_that_is_not_closed_is_left_and_told_of(game: Surroundings) -> None:
    late = CUTOFF - timedelta(days=3)
    await say(game, 3, late)
    await say(game, 2, late - timedelta(days=1))
    applied = await apply(dataset("messages"), game, month("messages", not_after=late))
    assert (applied.deleted, applied.done) == (2, True)
    assert await game.pool.fetchval("SELECT count(*) FROM messages") == 3
    assert applied.overdue_since == late + timedelta(days=30)


async def test_cut_off_between_batches_it_goes_on_where_it_was(game: Surroundings) -> None:
    await say(game, 95, CUTOFF - timedelta(days=1))
    await say(game, 5, NOW)
    messages = dataset("messages")
    batches = 0

    async def cut(surroundings: Surroundings, before: datetime, limit: int) -> int:
        nonlocal batches
        batches += 1
        if batches == 4:
            raise asyncio.CancelledError
        return await messages.delete(surroundings, before, limit)

    with pytest.raises(asyncio.CancelledError):
        await apply(replace(messages, delete=cut), game, month("messages"), batch=10)
    assert await game.pool.fetchval("SELECT count(*) FROM messages") == 70
    assert (await apply(messages, game, month("messages"), batch=10)).deleted == 65
    assert await game.pool.fetchval("SELECT count(*) FROM messages") == 5


async def test_when_the_time_is_used_up_the_rest_is_left_and_told_of(game: Surroundings) -> None:
    await say(game, 30, CUTOFF - timedelta(days=2))
    asked = month("messages", budget_seconds=1e-9)
    applied = await apply(dataset("messages"), game, asked, batch=10)
    assert applied == RetentionApplied(
        deleted=10, done=False, overdue_since=NOW - timedelta(days=2)
    )


async def test_two_at_once_share_the_rows_and_what_somebody_holds_is_left(
    game: Surroundings,
) -> None:
    await say(game, 100, CUTOFF - timedelta(days=1))
    messages = dataset("messages")
    async with game.pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT 1 FROM messages LIMIT 7 FOR UPDATE")
        both = await asyncio.gather(
            *(apply(messages, game, month("messages"), batch=10) for _ in range(2))
        )
        assert sum(each.deleted for each in both) == 93
    assert (await apply(messages, game, month("messages"))).deleted == 7


async def test_a_table_with_much_to_give_back_is_vacuumed_unless_somebody_holds_it(
    game: Surroundings,
) -> None:
    [vacuum] = [each for each in errands(datasets()) if each.name == "vacuum"]
    await say(game, 500, CUTOFF - timedelta(days=1))
    await apply(dataset("messages"), game, month("messages"))
    async with asyncio.timeout(30):
        # The server's statistics come a moment after the commit.
        while not await game.pool.fetchval(
            "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'messages'"
        ):
            pass
    async with game.pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE messages IN SHARE UPDATE EXCLUSIVE MODE")
        held = cast("Vacuumed", await vacuum.handle(game, Vacuum()))
    assert "messages" in held.skipped
    freed = cast("Vacuumed", await vacuum.handle(game, Vacuum()))
    assert "messages" in freed.tables


# -- the run that asks -----------------------------------------------------------------------------

SQL = "\n".join(
    path.read_text()
    for path in sorted((Path(services.maintenance.__path__[0]) / "sql").glob("*.sql"))
)


class Recorded(Owners):
    """Answers for the owners, and keeps what they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ApplyRetention]] = []
        self.vacuumed: list[str] = []
        self.unanswered = 0

    async def command(
        self, service: str, name: str, message: Message, reply: type[T], **_: Any
    ) -> T:
        if service == "billing":
            self.unanswered += 1
            raise Unavailable("nobody answers", carried_out=False)
        if isinstance(message, ApplyRetention):
            self.asked.append((service, message))
            # The first batch of messages leaves some.
            more = message.name == "messages" and len(self.asked) == 1
            return cast("T", RetentionApplied(deleted=3, done=not more))
        self.vacuumed.append(service)
        return cast("T", Vacuumed(tables=(), skipped=("messages",) * (service == "player")))


async def nothing(_ctx: WorkflowContext) -> Any:
    """In the place of the other parts."""


def upkeep(owners: Owners, closed_until: datetime | None) -> SystemMaintenanceWorkflow:
    async def closed(_connection: Connection) -> datetime | None:
        return closed_until

    return SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(owners, closed),
        rotate_logs=nothing,
        invalidate_cache=nothing,
        perform_health_checks=nothing,
        process_analytics=nothing,
    )


async def clean(servers: Servers, owners: Owners, closed_until: datetime | None) -> Any:
    workflow = register(StartSystem, upkeep(owners, closed_until))
    async with Harness.on_servers([workflow], sql=SQL, servers=servers) as harness:
        run = await harness.start(StartSystem())
        await harness.advance(hours=1)
        assert run.status == "complete"
        return run.output.database_cleanup


async def test_each_policy_is_applied_at_its_owner_until_nothing_is_left(servers: Servers) -> None:
    owners = Recorded()
    cleaned = await clean(servers, owners, NOW)
    assert [(service, each.name, each.not_after) for service, each in owners.asked[:4]] == [
        ("player", "messages", NOW),
        ("player", "messages", NOW),
        ("player", "event_logs", NOW),
        ("player", "sessions", NOW),
    ]
    assert owners.asked[4][1] == ApplyRetention(name="guest_sessions", keep_seconds=86_400)
    assert (cleaned.policies[0].name, cleaned.policies[0].deleted) == ("messages", 6)
    assert owners.vacuumed == ["player", "maintenance"]
    assert cleaned.skipped_tables == ("player.messages",)
    assert [each.owner for each in cleaned.policies].count("maintenance") == 2


async def test_an_owner_that_does_not_answer_fails_alone_and_is_asked_for_nothing_more(
    servers: Servers,
) -> None:
    owners = Recorded()
    cleaned = await clean(servers, owners, NOW)
    [failure] = cleaned.failures
    assert (failure.step, failure.name) == ("retention_billing_instances", "Unavailable")
    assert owners.unanswered == 3  # the attempts of one call
    assert "billing" not in {each.owner for each in cleaned.policies}


async def test_while_analytics_never_ran_what_they_need_stays_and_is_told_of(
    game: Surroundings, servers: Servers
) -> None:
    owners = Recorded()
    await clean(servers, owners, None)
    gated = {each.name: each for _, each in owners.asked if each.not_after is not None}
    assert sorted(gated) == ["event_logs", "messages", "sessions"]
    overdue = CUTOFF - timedelta(days=365)
    await say(game, 3, overdue)
    assert await apply(dataset("messages"), game, gated["messages"]) == RetentionApplied(
        deleted=0, done=True, overdue_since=overdue + timedelta(days=30)
    )


async def test_a_policy_that_an_operator_changed_counts_and_one_that_is_off_does_not(
    make_database: MakeDatabase,
) -> None:
    connection = await asyncpg.connect(await make_database("maintenance"))
    store = RetentionStore(connection)
    change = SetRetention(owner="player", name="messages", keep_seconds=7200)
    changed = await store.set(change, NOW, "ann")
    assert changed is not None
    assert (changed.keep_seconds, changed.enabled, changed.updated_by) == (7200, True, "ann")
    off = await store.set(SetRetention(owner="player", name="outbox", enabled=False), NOW, "ann")
    assert off is not None
    assert (off.keep_seconds, off.enabled) == (604_800, False)
    assert await store.set(SetRetention(owner="nobody", name="x", enabled=True), NOW, "a") is None
    await connection.close()


@dataclass
class Policies:
    """Their table, and what the metric says of one."""

    pool: asyncpg.Pool[asyncpg.Record]
    clock: ManualClock

    @property
    def store(self) -> RetentionStore:
        return RetentionStore(self.pool)

    async def backlog(self) -> float | None:
        await Backlog(self.pool, self.clock).tick()
        return REGISTRY.get_sample_value(
            "retention_backlog_seconds", {"owner": "player", "policy": "messages"}
        )


@pytest.fixture
async def policies(make_database: MakeDatabase) -> AsyncIterator[Policies]:
    pool = await create_pool(
        await make_database("maintenance"), size=1, name="test", idle_timeout_seconds=30
    )
    yield Policies(pool, ManualClock(NOW))
    pool.terminate()


OF_MESSAGES = ("player", "messages")
HOUR = timedelta(hours=1)


async def test_the_backlog_grows_until_a_run_leaves_nothing(policies: Policies) -> None:
    await policies.store.applied(*OF_MESSAGES, NOW, NOW - HOUR)
    assert await policies.backlog() == 3600
    policies.clock.advance(HOUR)
    assert await policies.backlog() == 7200
    await policies.store.applied(*OF_MESSAGES, policies.clock.now(), None)
    assert await policies.backlog() == 0
    policies.clock.advance(HOUR)
    assert await policies.backlog() == 0


async def test_where_the_owner_does_not_answer_the_backlog_grows_from_what_was_last_known(
    policies: Policies,
) -> None:
    assert await policies.backlog() == 0
    await policies.store.left(*OF_MESSAGES, NOW)
    policies.clock.advance(HOUR)
    assert await policies.backlog() == 3600
    await policies.store.applied(*OF_MESSAGES, NOW, None)
    await policies.store.left(*OF_MESSAGES, policies.clock.now())
    assert await policies.backlog() == 3600
    await policies.store.applied(*OF_MESSAGES, NOW, NOW - HOUR)
    await policies.store.left(*OF_MESSAGES, policies.clock.now())
    assert await policies.backlog() == 7200


async def test_the_backlog_goes_with_what_an_operator_sets(policies: Policies) -> None:
    async def change(**to: Any) -> None:
        owner, name = OF_MESSAGES
        assert await policies.store.set(SetRetention(owner=owner, name=name, **to), NOW, "ann")

    await policies.store.applied(*OF_MESSAGES, NOW, NOW - 3 * HOUR)
    await change(keep_seconds=MONTH + 3600)
    assert await policies.backlog() == 7200
    await change(enabled=False)
    assert await policies.backlog() is None
    await change(enabled=True)
    assert await policies.backlog() == 0
