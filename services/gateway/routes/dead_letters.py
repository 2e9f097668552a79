"""`/api/dead-letters`: those of the service that the address names."""

from __future__ import annotations

from services.gateway.routes.forwarding import ANY_SERVICE, Forward
from shared.messages import subjects
from shared.messages.dead_letters import (
    ByDeadLetter,
    DeadLettersQuery,
    DiscardDeadLetter,
    ReplayDeadLetter,
)

ONE = "/api/dead-letters/{service}/{id}"

TABLE = (
    Forward(
        "GET", "/api/dead-letters", subjects.query(ANY_SERVICE, "dead_letters"), DeadLettersQuery
    ),
    Forward("GET", ONE, subjects.query(ANY_SERVICE, "dead_letter"), ByDeadLetter),
    Forward(
        "POST",
        f"{ONE}/replay",
        subjects.command(ANY_SERVICE, "replay_dead_letter"),
        ReplayDeadLetter,
    ),
    Forward(
        "POST",
        f"{ONE}/discard",
        subjects.command(ANY_SERVICE, "discard_dead_letter"),
        DiscardDeadLetter,
    ),
)
