"""What each service takes, answers and tells, as docs and tests go through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from types import ModuleType
from typing import TypeAlias

from services.billing import handlers as of_billing
from services.billing.handlers.persons import errands
from services.billing.payments.late import Late
from services.maintenance.app import define
from services.maintenance.config import MaintenanceSettings
from services.player import handlers as of_player
from services.player.handlers.commands import COMMANDS as PLAYER_COMMANDS
from services.player.handlers.persons import ERRANDS as PLAYER_ERRANDS
from shared.messages import billing, maintenance, player, subjects
from shared.messages.base import Message
from shared.messages.events import Event
from shared.messages.workflows import TRIGGERS, Trigger
from shared.runtime import builtin
from shared.runtime.config import load
from shared.runtime.handling import AnyErrand, AnyHandler
from shared.testing.memory import MemoryStore

AnyRequest: TypeAlias = "AnyHandler | AnyErrand"


@dataclass(frozen=True)
class Contract:
    """One service's part of the contract."""

    service: str
    page: str
    """Where its messages are documented."""
    module: ModuleType
    commands: Sequence[AnyHandler | AnyErrand]
    facts: Sequence[AnyHandler]
    queries: Sequence[AnyRequest]

    @property
    def triggers(self) -> dict[str, type[Trigger]]:
        """What starts its workflows, by kind."""
        return {kind: each for kind, each in TRIGGERS.items() if each.service == self.service}

    @property
    def events(self) -> list[type[Event]]:
        """The facts that it tells."""
        found = vars(self.module).values()
        return [each for each in found if isinstance(each, type) and issubclass(each, Event)]

    def requests(self) -> set[tuple[str, type[Message]]]:
        """Every subject of its own, with the message on it."""
        return {
            *((subjects.command(self.service, each.name), each.message) for each in self.commands),
            *((subjects.query(self.service, each.name), each.message) for each in self.queries),
            *((subjects.ingest(self.service, each.name), each.message) for each in self.facts),
            *((subjects.start(kind), trigger) for kind, trigger in self.triggers.items()),
            *((subjects.event(self.service, each.name), each) for each in self.events),
        }


PLAYER = Contract(
    "player",
    "docs/messages.md",
    player,
    (*PLAYER_COMMANDS, *PLAYER_ERRANDS),
    of_player.FACTS,
    of_player.QUERIES,
)
BILLING = Contract(
    "billing",
    "docs/messages-billing.md",
    billing,
    (*of_billing.commands({}), *errands(Late("sandbox"))),
    of_billing.FACTS,
    of_billing.QUERIES,
)
_MAINTENANCE = define(
    load(
        MaintenanceSettings, {"NATS_URL": "nats://nowhere", "DATABASE_URL": "postgresql://nowhere"}
    )
)
MAINTENANCE = Contract(
    "maintenance",
    "docs/messages-maintenance.md",
    maintenance,
    (*_MAINTENANCE.commands, *_MAINTENANCE.errands),
    _MAINTENANCE.facts,
    (*_MAINTENANCE.queries, *_MAINTENANCE.inquiries),
)
CONTRACTS = (PLAYER, BILLING, MAINTENANCE)

BUILTIN_COMMANDS: Sequence[AnyRequest] = (
    *builtin.commands("player", ["player"]),
    *builtin.errands(["player"]),
)
BUILTIN_QUERIES: Sequence[AnyRequest] = (
    *builtin.queries("player", MemoryStore(monotonic), {}),
    *builtin.INQUIRIES,
)
"""What every service answers beside its own."""
