"""`padawanforge simulate`: compares dunning schedules on a fleet, before one is used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from services.billing.models import Money
from services.billing.rules.money import parse_money
from services.billing.simulation.assumptions import Assumptions
from services.billing.simulation.chart import draw
from services.billing.simulation.choices import DEFAULT_SCHEDULES, parse_mix, parse_schedules
from services.billing.simulation.fleet import Fleet, draw_fleet
from services.billing.simulation.life import live
from services.billing.simulation.report import (
    Comparison,
    NamedSchedule,
    ScheduleReport,
    add_up,
)
from services.billing.simulation.table import rows
from shared.messages.problems import Refused

FILE_COLUMNS = 200
"""How wide a table may be that is not read on a terminal: wide enough for each to be whole."""


class SimulateError(Exception):
    """The command line asks for what cannot be simulated; the message names the flag."""


def simulate(
    *,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            help="A schedule as NAME=DAYS:CANCEL, such as short=1,3,5:7; repeat it to compare."
        ),
    ] = None,
    customers: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 1000,
    months: Annotated[int, typer.Option(min=1, max=120, help="For how long.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed, the same luck.")] = 1,
    mix: Annotated[
        str | None,
        typer.Option(help="Who pays how, in percent, such as pays=90,short_of_money=10."),
    ] = None,
    assumptions: Annotated[
        Path | None, typer.Option(help="A TOML file of what is believed of the customers.")
    ] = None,
    price: Annotated[str, typer.Option(help="What a month costs.")] = "9.99",
    currency: Annotated[str, typer.Option(help="Of the price, by ISO 4217.")] = "EUR",
    svg: Annotated[Path | None, typer.Option(help="Draws the comparison into this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Prints JSON instead of a table.")] = False,
) -> None:
    """Compares dunning schedules on a fleet of simulated customers."""
    try:
        schedules = _schedules(schedule or DEFAULT_SCHEDULES)
        believed = _assumptions(assumptions, mix)
        money = _price(price, currency)
        _check(svg)
        chance = random.Random(seed).random
        fleet = draw_fleet(believed, customers, months, money, chance)
        comparison = Comparison(
            customers=customers,
            months=months,
            seed=seed,
            price=money,
            mix=believed.mix,
            schedules=_compare(fleet, schedules),
        )
        if svg is not None:
            _write(svg, draw(comparison))
    except SimulateError as error:
        Console(stderr=True, highlight=False).print(
            str(error), style="red", markup=False, soft_wrap=True
        )
        raise typer.Exit(1) from error
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(comparison)))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = FILE_COLUMNS
        console.print(_table(comparison))


def _schedules(texts: tuple[str, ...] | list[str]) -> tuple[NamedSchedule, ...]:
    try:
        return parse_schedules(texts)
    except ValueError as error:
        raise SimulateError(f"--schedule: {error}") from error


def _assumptions(file: Path | None, mix: str | None) -> Assumptions:
    believed = Assumptions()
    if file is not None:
        try:
            believed = msgspec.toml.decode(file.read_bytes(), type=Assumptions)
        except OSError as error:
            raise SimulateError(f"--assumptions: {file}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise SimulateError(
                f"--assumptions: {file}: {error}; docs/dunning.md shows what it may hold"
            ) from error
    if mix is None:
        return believed
    try:
        return msgspec.structs.replace(believed, mix=parse_mix(mix))
    except ValueError as error:
        raise SimulateError(f"--mix: {error}") from error


def _price(price: str, currency: str) -> Money:
    try:
        return parse_money(price, currency, field="price")
    except Refused as error:
        raise SimulateError(f"--{error.field}: {error}") from error


def _compare(fleet: Fleet, schedules: tuple[NamedSchedule, ...]) -> tuple[ScheduleReport, ...]:
    """Each schedule on the same fleet; its progress is shown on a terminal alone."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        return tuple(
            add_up(
                each,
                (
                    live(customer, fleet, each.schedule)
                    for customer in progress.track(fleet.customers, description=each.name)
                ),
                fleet.price,
            )
            for each in schedules
        )


def _check(svg: Path | None) -> None:
    """Finds out before the work what would only fail after it."""
    if svg is not None and svg.is_dir():
        raise SimulateError(f"--svg: {svg} is a folder: name a file in it")
    if svg is not None and not svg.parent.is_dir():
        raise SimulateError(f"--svg: there is no folder {svg.parent}: make it, or name another")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SimulateError(f"--svg: {file} cannot be written: {error.strerror}") from error


def _table(comparison: Comparison) -> Table:
    table = Table(Column("", no_wrap=True))
    for each in comparison.schedules:
        # Folded where the terminal is narrow: a figure that is cut off is a wrong one.
        table.add_column(each.name, justify="right", overflow="fold")
    for row in rows(comparison):
        table.add_row(*row)
    return table
