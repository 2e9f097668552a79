"""What the player service answers and takes besides workflows."""

from __future__ import annotations

from services.player.handlers.commands import COMMANDS as REQUESTS
from services.player.handlers.facts import facts
from services.player.handlers.queries import QUERIES
from shared.runtime.handling import AnyHandler

__all__ = ["COMMANDS", "FACTS", "QUERIES", "commands", "facts"]


def commands(reset_hour: int = 0) -> tuple[AnyHandler, ...]:
    """The commands; facts are among them, so that the gateway can answer who reports one."""
    return (*REQUESTS, *facts(reset_hour))


FACTS = facts()
COMMANDS = commands()
