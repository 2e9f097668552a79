"""The guide's workflows pass the guide's own tests, in memory."""

from __future__ import annotations

import inspect

import pytest

from services.player.app import service
from shared.runtime.crons import checked
from shared.testing.harness import Harness
from shared.workflow.registry import Registry
from tests.markdown import execute

GUIDE = execute("docs/adding-a-workflow.md")
TESTS = [name for name in GUIDE if name.startswith("test_")]


@pytest.mark.parametrize("name", TESTS)
async def test_the_guides_own_test_passes(name: str) -> None:
    test = GUIDE[name]
    await (test(Harness.in_memory) if inspect.signature(test).parameters else test())


def test_the_guides_registration_fits_beside_those_of_the_service() -> None:
    registry = Registry([*service().workflows, *GUIDE["workflows"]])
    assert "prize" in registry.kinds
    assert checked(GUIDE["crons"], GUIDE["crons_revision"], registry)
