"""What retention may take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.runtime.keeping import cutoff

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
KEEP = timedelta(days=30)


@pytest.mark.parametrize(
    ("not_after", "expected"),
    [
        (None, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (datetime(2026, 2, 20, tzinfo=UTC), datetime(2026, 2, 20, tzinfo=UTC)),
    ],
    ids=["no gate", "days closed long since", "a late day"],
)
def test_nothing_goes_before_its_time_nor_before_its_day_is_closed(
    not_after: datetime | None, expected: datetime
) -> None:
    assert cutoff(NOW, KEEP, not_after) == expected
