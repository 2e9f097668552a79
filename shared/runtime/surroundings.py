"""What the parts that only one service has stand on."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
from nats.aio.client import Client

from shared.workflow.ports import Clock


@dataclass(frozen=True)
class Surroundings:
    """Lasts as long as the service runs."""

    clock: Clock
    pool: asyncpg.Pool[asyncpg.Record]
    """Of the service's schema, for its own parts and its errands."""
    client: Client
