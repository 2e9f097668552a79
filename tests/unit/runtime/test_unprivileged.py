"""Files move only where the server's user cannot reach them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.runtime.embedded import unprivileged
from shared.runtime.embedded.unprivileged import Account, data_home, reachable_copy

NOBODY_HERE = Account(uid=os.getuid() + 54_321, gid=os.getgid() + 54_321)


@pytest.fixture(autouse=True)
def refuge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "refuge"
    monkeypatch.setattr(unprivileged, "REFUGE", place)
    return place


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o700)
    return folder


def test_data_stay_in_the_project_for_who_needs_no_other_user(closed: Path, refuge: Path) -> None:
    assert data_home(closed / "data", None) == closed / "data"
    assert not refuge.exists()


def test_data_out_of_reach_are_linked_to_and_found_again(closed: Path, refuge: Path) -> None:
    home = data_home(closed / "data", NOBODY_HERE)

    assert home.parent == refuge
    assert (closed / "data").is_symlink()
    assert data_home(closed / "data", NOBODY_HERE) == home


def test_programs_out_of_reach_are_copied_once(closed: Path, refuge: Path) -> None:
    programs = closed / "programs"
    programs.mkdir(mode=0o700)
    (programs / "server").write_text("binary")
    (programs / "server").chmod(0o700)

    copy = reachable_copy([programs], NOBODY_HERE)

    assert copy.parent == refuge
    assert (copy / "programs").stat().st_mode & 0o055 == 0o055
    assert (copy / "programs" / "server").stat().st_mode & 0o055 == 0o055
    assert reachable_copy([programs], NOBODY_HERE) == copy
    assert [each.name for each in refuge.iterdir()] == [copy.name]


def test_programs_within_reach_stay_where_they_are(closed: Path, refuge: Path) -> None:
    programs = closed / "programs"
    programs.mkdir(mode=0o700)

    assert reachable_copy([programs], Account(uid=os.getuid(), gid=os.getgid())) == closed
    assert not refuge.exists()
