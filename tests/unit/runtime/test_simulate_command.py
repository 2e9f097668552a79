"""`padawanforge simulate` refuses what is wrong by the flag that is to be changed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from services.__main__ import app


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--schedule", "a=1,9:7"], "--schedule: 'a=1,9:7': `cancel_days` 7 is before"),
        (["--mix", "pays=90"], "--mix: `mix` adds up to 90 %: make it 100"),
        (["--price", "9.999"], "--price: '9.999' has 3 decimal places, and EUR has 2"),
        (["--price", "0"], "--price: 0 is not above zero"),
        (["--currency", "EURO"], "--currency: 'EURO' is no currency of ISO 4217"),
        (["--assumptions", "no.toml"], "--assumptions: no.toml: No such file or directory"),
        (["--assumptions", "README.md"], "docs/dunning.md shows what it may hold"),
        (["--svg", "no/chart.svg"], "--svg: there is no folder no: make it, or name another"),
        (["--svg", "docs"], "--svg: docs is a folder: name a file in it"),
    ],
)
def test_what_is_wrong_is_told_by_its_flag(arguments: list[str], told: str) -> None:
    ended = CliRunner().invoke(app, ["simulate", *arguments])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--customers", "0"], "--customers"),
        (["--months", "121"], "--months"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_a_number_out_of_its_range_is_refused(arguments: list[str], flag: str) -> None:
    ended = CliRunner().invoke(app, ["simulate", *arguments])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert flag in ended.stderr
