"""What tests of pure rules share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(params=["UTC", "America/New_York", "Pacific/Auckland"])
def host_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The time zone of the machine that the rules run on."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()
