"""Sends a service's notices through the channels that are set up."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid5

import structlog

from shared.messages.notices import Notice
from shared.notify.channel import Channel, ChannelName, Letter, NotSent, Undeliverable
from shared.workflow.errors import Transient

log = structlog.get_logger()

NAMESPACE = UUID("0f5c7a52-5f0e-5d5e-9a39-6f7d3f1c2b88")
"""Root of the letters' ids."""


def letter_id(service: str, notice: Notice) -> str:
    """The same for each attempt on a notice, and another for every other notice."""
    return str(uuid5(NAMESPACE, f"{service}/{notice.name}/{notice.key}"))


class Notifier:
    """The channels of one service, and which of its notices goes to which of them."""

    def __init__(
        self,
        service: str,
        channels: Sequence[Channel],
        routes: Mapping[str, Sequence[ChannelName]],
        find_address: Callable[[str], Awaitable[str | None]],
    ):
        self.channels = tuple(channels)
        names = {channel.name for channel in channels}
        self.routes = {
            name: tuple(channel for channel in dict.fromkeys(wanted) if channel in names)
            for name, wanted in routes.items()
        }
        self._service = service
        self._find_address = find_address

    async def send(self, channel: Channel, notice: Notice, created_at: datetime) -> None:
        """Sends within the channel's time. Raises Undeliverable and NotSent, nothing else."""
        try:
            async with asyncio.timeout(channel.timeout_seconds):
                await channel.send(await self._letter(channel, notice, created_at))
        except (Undeliverable, NotSent):
            raise
        except TimeoutError as error:
            raise NotSent(f"no answer within {channel.timeout_seconds:g} s") from error
        except Transient as error:
            raise NotSent("the address could not be looked up") from error
        except Exception as error:
            # The error's own words may hold an address or a secret, so they are told to nobody.
            log.error(
                "channel_failed",
                channel=channel.name,
                notice=notice.name,
                error=type(error).__name__,
                frames=traceback.format_tb(error.__traceback__),
            )
            raise NotSent(type(error).__name__) from error

    async def _letter(self, channel: Channel, notice: Notice, created_at: datetime) -> Letter:
        address = None
        if channel.needs_address:
            address = await self._find_address(notice.recipient)
            if address is None:
                raise Undeliverable("the recipient has no address")
        return Letter(letter_id(self._service, notice), self._service, notice, created_at, address)
