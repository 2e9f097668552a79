"""The guide's workflow passes the guide's own tests."""

from __future__ import annotations

import pytest

from services.player.app import service
from shared.runtime.crons import checked
from shared.workflow.registry import Registry
from tests.markdown import execute

GUIDE = execute("docs/adding-a-workflow.md")
TESTS = [name for name in GUIDE if name.startswith("test_")]


def test_the_guide_has_tests_of_time_redelivery_retry_and_skipping() -> None:
    assert len(TESTS) == 4


@pytest.mark.parametrize("name", TESTS)
async def test_the_guides_own_test_passes(name: str) -> None:
    await GUIDE[name]()


def test_the_guides_registration_fits_beside_those_of_the_service() -> None:
    registry = Registry([*service().workflows, *GUIDE["workflows"]])
    assert "welcome" in registry.kinds
    assert checked(GUIDE["crons"], GUIDE["crons_revision"], registry)
