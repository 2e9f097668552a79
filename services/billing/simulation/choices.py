"""Reads what the command line says of schedules and of the mix."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.billing.rules.dunning import DunningSchedule
from services.billing.simulation.assumptions import (
    LONGEST_DAYS,
    Mix,
    PaymentBehaviour,
    check_mix,
)
from services.billing.simulation.report import NamedSchedule

SCHEDULE = re.compile(
    r"(?:(?P<name>[\w.+ -]{1,20})=)?"
    r"(?P<days>[0-9]{1,3}(?:,[0-9]{1,3})*)?:(?P<cancel>[0-9]{1,3})(?::(?P<stop>[0-9]{1,3}))?"
)
FOLLOWED_DAYS = DunningSchedule().stop_days - DunningSchedule().cancel_days
"""How long after the cancellation's day a payment that is under way may still arrive."""

MOST_SCHEDULES = 6
"""A chart has a colour for each."""

DEFAULT_SCHEDULES = (
    "standard=1,3,7,14,30:30",
    "weekly=7,14,21,28:30",
    "daily=1,2,3,4,5,6,7:7",
    "short=1,3,5:7",
)


def parse_schedule(text: str) -> NamedSchedule:
    """A schedule such as `short=1,3,5:7`: its name, its retries' days, and when it is canceled.

    Raises ValueError that tells what to write.
    """
    match = SCHEDULE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no schedule: write NAME=DAYS:CANCEL, such as short=1,3,5:7, with a name "
            "of at most 20 letters and digits"
        )
    days, name = match["days"] or "", match["name"] or ""
    cancel_days = int(match["cancel"])
    stop_days = int(match["stop"] or cancel_days + FOLLOWED_DAYS)
    if stop_days > LONGEST_DAYS:
        raise ValueError(f"{text!r} goes on for {stop_days} days: {LONGEST_DAYS} are the most")
    try:
        schedule = DunningSchedule(
            retry_days=tuple(int(day) for day in days.split(",") if day),
            cancel_days=cancel_days,
            stop_days=stop_days,
        )
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    return NamedSchedule(name=name.strip() or text, schedule=schedule)


def parse_schedules(texts: Sequence[str]) -> tuple[NamedSchedule, ...]:
    """The schedules in their order. Raises ValueError also for names that come twice."""
    if len(texts) > MOST_SCHEDULES:
        raise ValueError(
            f"{len(texts)} schedules are more than a chart can tell apart: "
            f"name {MOST_SCHEDULES} at most"
        )
    schedules = tuple(parse_schedule(text) for text in texts)
    names = [each.name for each in schedules]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} comes twice: give each schedule a name of its own")
    return schedules


def parse_mix(text: str) -> Mix:
    """Percents such as `pays=90,lost_card=10`; who is not named is not there.

    Raises ValueError that tells what to write.
    """
    mix: dict[PaymentBehaviour, float] = {}
    for part in text.split(","):
        name, equals, percent = (each.strip() for each in part.partition("="))
        if name not in {each.value for each in PaymentBehaviour}:
            known = ", ".join(PaymentBehaviour)
            raise ValueError(f"{name!r} is no behaviour: name {known}")
        if PaymentBehaviour(name) in mix:
            raise ValueError(f"{name!r} comes twice: name it once")
        if not equals or not re.fullmatch(r"\d{1,3}(\.\d+)?", percent, re.ASCII):
            raise ValueError(f"{part!r} has no percentage: write it such as {name}=10")
        mix[PaymentBehaviour(name)] = float(percent)
    check_mix(mix)
    return mix
