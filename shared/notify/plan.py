"""What a service decides about its notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.notify.channel import ChannelName
from shared.notify.rendering import Template
from shared.workflow.ports import Connection

FindAddress = Callable[[Connection, str], Awaitable[str | None]]
"""The mail address of a recipient, read at the time of sending from the owner's own table."""


async def no_address(_connection: Connection, _recipient: str) -> str | None:
    """For a service that knows nobody's address."""
    return None


@dataclass(frozen=True)
class NoticePlan:
    """Where a service's notices go besides the table, how they read, whom they reach."""

    routes: Mapping[str, Sequence[ChannelName]] = field(
        default_factory=dict[str, Sequence[ChannelName]]
    )
    """Channels by the notice's name; `*` is for each name that is not listed."""
    templates: Mapping[str, Template] = field(default_factory=dict[str, Template])
    """By the notice's name; others read as their facts, a line each."""
    find_address: FindAddress = no_address
