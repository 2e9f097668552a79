"""Crons: what starts instances at nominal times, as values and pure functions of an instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from shared.messages.base import MAX_CONTENT_BYTES, encode
from shared.messages.schedules import ScheduleName
from shared.messages.workflows import Trigger
from shared.workflow.records import OutboxMessage
from shared.workflow.starts import start_message
from shared.workflow.zones import known_zones

MAX_EXPRESSION_CHARACTERS = 200
MAX_INPUT_BYTES = MAX_CONTENT_BYTES - 1024
"""Leaves room for the id and the nominal time of a run."""
ONE_DAY = timedelta(days=1)


class Timetable:
    """The nominal times of a five-field cron expression in a time zone.

    Where minute and hour do not begin with `*`, a time that the clocks skip comes at the first
    instant after the gap, and one that they repeat comes once, at the first. Other expressions go
    by the clock on the wall as it is: nothing in the gap, both of a repeated hour.
    """

    def __init__(self, expression: str, time_zone: str):
        """Raises ValueError that begins with `expression` or `time_zone`, and tells the remedy."""
        # The library takes seconds too, but then knows no change of clocks.
        if len(expression) > MAX_EXPRESSION_CHARACTERS or len(expression.split()) != 5:
            raise ValueError(
                f"`expression` {expression!r} has not five fields in up to "
                f"{MAX_EXPRESSION_CHARACTERS} characters: write one such as '0 3 * * *'"
            )
        if time_zone not in known_zones():
            raise ValueError(
                f"`time_zone` {time_zone!r} is unknown: use an IANA name such as Europe/Berlin"
            )
        self.zone = ZoneInfo(time_zone)
        self._expression = expression
        try:
            self.after(datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(
                f"`expression` {expression!r} is wrong ({error}): write one such as '0 3 * * *'"
            ) from error

    def after(self, instant: datetime) -> datetime:
        """The first nominal time after `instant`, in UTC."""
        return next(self._times_after(instant))

    def due(self, since: datetime, now: datetime) -> tuple[datetime, datetime]:
        """The latest nominal time up to `now`, and the one after it.

        `since` is a nominal time that has come. Whatever came between is left out.
        """
        # To walk from `since` could be to walk through the minutes of years. The day before the
        # library's own answer, which it gets wrong in a repeated hour, is near enough.
        near = next(CronSim(self._expression, now.astimezone(self.zone), reverse=True), since)
        times = self._times_after(max(since, near.astimezone(UTC) - ONE_DAY))
        latest = since
        while (at := next(times)) <= now:
            latest = at
        return latest, at

    def _times_after(self, instant: datetime) -> Iterator[datetime]:
        for local in CronSim(self._expression, instant.astimezone(self.zone)):
            at = local.astimezone(UTC)
            # From within a repeated hour the library begins with its first pass.
            if at > instant:
                yield at
        raise ValueError(
            f"`expression` {self._expression!r} has no time in the 50 years after {instant}: "
            "correct its day or month"
        )


@dataclass(frozen=True)
class Cron:
    """A service's declaration: starts `trigger` at each nominal time.

    Raises ValueError that names the field, and tells the remedy.
    """

    name: str
    trigger: Trigger
    """Without an id and instants: each run has its own."""
    expression: str
    time_zone: str = "UTC"
    polls: bool = False
    """It only looks for what a table says is due. Virtual time then stops where a part of the
    service says that something is, and not at each nominal time."""

    def __post_init__(self) -> None:
        try:
            msgspec.convert(self.name, ScheduleName)
        except msgspec.ValidationError as error:
            raise ValueError(
                f"cron {self.name!r}: `name` has 1 to 63 letters, digits, '_' or '-', the first "
                "no '-': rename it"
            ) from error
        own = self.trigger.id, self.trigger.start_at, self.trigger.trigger_time
        if own != (None, None, None):
            raise ValueError(
                f"cron {self.name!r}: `trigger` has an id or an instant: leave out id, start_at "
                "and trigger_time"
            )
        if len(encode(self.trigger)) > MAX_INPUT_BYTES:
            raise ValueError(
                f"cron {self.name!r}: `trigger` has over {MAX_INPUT_BYTES} bytes: shorten it"
            )
        try:
            Timetable(self.expression, self.time_zone)
        except ValueError as error:
            raise ValueError(f"cron {self.name!r}: {error}") from error


class StoredCron(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `crons`. All its instants are business time."""

    name: str
    kind: str
    input: bytes
    expression: str
    time_zone: str
    next_at: datetime
    """Nominal time of the next start, unless it is paused."""
    last_at: datetime | None = None
    """Nominal time of the last start."""
    paused_at: datetime | None = None
    paused_by: str | None = None

    def differs_from(self, declared: Cron) -> bool:
        """Whether the declaration would start something else, or at other times."""
        trigger = declared.trigger
        try:
            # As Structs, so that a field added with a default is no difference.
            same = msgspec.json.decode(self.input, type=type(trigger)) == trigger
        except msgspec.ValidationError:
            same = False
        return not same or self.kind != trigger.kind or self.has_other_times(declared)

    def has_other_times(self, declared: Cron) -> bool:
        """Whether the declaration has another schedule."""
        return (self.expression, self.time_zone) != (declared.expression, declared.time_zone)

    def start(
        self, workflow_id: str, *, decided_at: datetime, actor: str, now: datetime
    ) -> OutboxMessage:
        """The command that starts one run; `decided_at` becomes its trigger's `triggerTime`."""
        # The value and not the trigger: another build may have declared it.
        fields: dict[str, Any] = msgspec.json.decode(self.input)
        fields |= {"id": workflow_id, "triggerTime": decided_at}
        return start_message(
            self.kind, workflow_id, msgspec.json.encode(fields), actor=actor, created_at=now
        )


def nominal_id(name: str, at: datetime) -> str:
    """The id of the run of a nominal time in UTC, such as `nightly-20260302T030000Z`."""
    return f"{name}-{at:%Y%m%dT%H%M%SZ}"
