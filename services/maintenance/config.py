"""What the maintenance service takes from its environment."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.runtime.definition import Days, Seconds, ServiceSettings


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
    health_seconds: Seconds = 15.0
    """How often every component is looked at, in machine time."""
    health_cooldown_seconds: Seconds = 300.0
    """For so long after its recovery a component that fails again is not alerted."""
    health_stuck_seconds: Seconds = 300.0
    """After so long without an acknowledgement a consumer with work is stuck."""
    gateway_url: Annotated[
        Annotated[str, Meta(pattern="^https?://[^@]+$")] | None,
        Meta(description="the gateway's address, such as http://127.0.0.1:8080"),
    ] = None
    """Of the gateway to look at; not set: it is not looked at."""
    log_keep_days: Days = 7
    """How long a closed log segment stays in LOG_DIR before it is archived."""
    rollup_seconds: Seconds = 300.0
    """How often what has changed is rolled up, in machine time."""
