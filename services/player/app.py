"""What the player service is made of."""

from services.player.handlers import COMMANDS, FACTS, QUERIES
from services.player.workflows.player import PlayerWorkflow
from shared.messages.workflows import StartPlayer
from shared.runtime.service import ServiceDefinition
from shared.workflow.registry import register

SERVICE = ServiceDefinition(
    name="player",
    workflows=[register(StartPlayer, PlayerWorkflow())],
    commands=COMMANDS,
    queries=QUERIES,
    facts=FACTS,
)
