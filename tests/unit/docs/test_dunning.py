"""docs/dunning.md shows what the simulation does and believes."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
from typer.testing import CliRunner

from services.__main__ import app
from services.billing.models import Money
from services.billing.simulation.assumptions import Assumptions, Outage, PaymentBehaviour
from services.billing.simulation.report import Comparison
from services.billing.simulation.table import rows
from tests.markdown import ROOT, blocks, table

PAGE = "docs/dunning.md"


def run(command: str, svg: Path) -> str:
    """What the page's command prints; its drawing goes to `svg`."""
    _, *arguments = shlex.split(command.replace("\\\n", ""))
    at = arguments.index("--svg") + 1
    assert arguments[at] == "docs/dunning.svg"
    arguments[at] = str(svg)
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_example_is_what_its_command_prints_and_draws(tmp_path: Path) -> None:
    [command], [shown] = blocks(PAGE, "sh"), blocks(PAGE, "text")
    svg = tmp_path / "dunning.svg"
    assert run(command.text, svg) == shown.text
    assert svg.read_text() == (ROOT / "docs/dunning.svg").read_text()


def test_every_measure_is_told() -> None:
    price = Money(amount_minor=1, currency="EUR")
    nothing = Comparison(customers=0, months=0, seed=0, price=price, mix={}, schedules=())
    measures = [name.removesuffix(", EUR") for name, *_ in rows(nothing)]
    assert [row[0] for row in table(PAGE, "measure", "what it says")] == measures


def test_every_behaviour_is_told_with_its_share() -> None:
    told = {row[0]: float(row[1]) for row in table(PAGE, "behaviour", "percent", "what it is")}
    assert told == {behaviour.value: Assumptions().mix[behaviour] for behaviour in PaymentBehaviour}


def test_the_file_that_is_shown_holds_all_there_is_with_its_defaults() -> None:
    [file] = blocks(PAGE, "toml")
    shown = msgspec.toml.decode(file.text, type=Assumptions)
    assert shown.outages == (Outage(first_day=40, days=2),)
    assert msgspec.structs.replace(shown, outages=()) == Assumptions()
    given, known = msgspec.toml.decode(file.text), msgspec.to_builtins(shown)
    assert {name: set(part) for name, part in given.items() if name != "outages"} == {
        name: set(part) for name, part in known.items() if name != "outages"
    }
