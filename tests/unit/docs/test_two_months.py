"""docs/billing.md has the table by which two months are tested."""

from __future__ import annotations

from tests.acceptance.two_months import HEADER, STORIES, row
from tests.markdown import table


def test_every_customer_is_told_as_tested() -> None:
    """`python -m tests.acceptance.two_months` prints the table."""
    assert table("docs/billing.md", *HEADER) == [row(story) for story in STORIES]
