"""What the player service is made of."""

from services.player.config import PlayerSettings
from services.player.handlers import QUERIES, commands, facts
from services.player.handlers.persons import ERRANDS
from services.player.store import INVARIANTS
from services.player.store.retention import datasets
from services.player.workflows.player import PlayerWorkflow
from shared.messages.workflows import StartPlayer
from shared.runtime.definition import ServiceDefinition
from shared.workflow.registry import register


def define(settings: PlayerSettings) -> ServiceDefinition:
    """The service under its settings."""
    return service(settings.reset_hour)


def service(reset_hour: int = 0) -> ServiceDefinition:
    """The service, with reward days that begin at `reset_hour` in the player's zone."""
    return ServiceDefinition(
        name="player",
        workflows=[register(StartPlayer, PlayerWorkflow(reset_hour=reset_hour))],
        commands=commands(reset_hour),
        queries=QUERIES,
        facts=facts(reset_hour),
        errands=ERRANDS,
        datasets=datasets(),
        invariants=INVARIANTS,
    )
