"""A storm over billing: each period is paid once, by the provider's own books, whatever is hit."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import denials
from tests.faults.billing_storm import SUBSCRIPTIONS, billing_storm
from tests.faults.schedule import FEWEST_KILLS
from tests.faults.storm import say

SECONDS = 24.0


@pytest.mark.rule("billing-one-charge")
async def test_a_thousand_subscriptions_that_fall_due_in_a_storm_are_each_charged_once(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = secrets.randbelow(10**6)
    with capsys.disabled():
        # At once, so that it is known whatever becomes of the storm.
        say(f"storm over billing with seed {seed}")
    report = await billing_storm(seed, SECONDS, tmp_path, say)

    record_property("storm over billing", report)
    assert report.complaints == [], report
    assert denials(tmp_path) == []
    assert report.payments >= SUBSCRIPTIONS
    blows = report.blows
    assert blows["kill of services"] + blows["kill of PostgreSQL"] >= FEWEST_KILLS * 0.9
    assert blows["freeze of services"]
