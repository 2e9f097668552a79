"""What the maintenance service takes from its environment."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.runtime.definition import Seconds, ServiceSettings


class MaintenanceSettings(ServiceSettings, frozen=True, kw_only=True):
    """The maintenance's own settings beside every service's."""

    system_cron: Annotated[
        str, Meta(description="a cron expression of five fields, such as 0 3 * * *")
    ] = "0 3 * * *"
    """When the system's run starts."""
    system_time_zone: Annotated[
        str, Meta(description="an IANA name of a time zone, such as Europe/Berlin")
    ] = "UTC"
    """Of SYSTEM_CRON."""
    invariants_seconds: Seconds = 300.0
    """How often each service is asked what must never be; machine time."""
