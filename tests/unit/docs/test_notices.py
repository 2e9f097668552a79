"""docs/notices.md says what the code does."""

from __future__ import annotations

from dataclasses import fields

import msgspec

from shared.messages.notices import Notice, NoticeSent
from shared.notify import verdict
from shared.notify.notifier import letter_id
from shared.notify.plan import NoticePlan
from shared.notify.webhook import RETRIED
from tests.markdown import blocks, read, table

PAGE = "docs/notices.md"


def test_the_body_of_a_webhook_is_the_one_that_is_shown() -> None:
    [block] = blocks(PAGE, "json")
    shown = msgspec.json.decode(block.text, type=NoticeSent)
    assert msgspec.json.decode(block.text) == msgspec.to_builtins(shown)
    notice = Notice(name=shown.name, recipient=shown.recipient, key=shown.key)
    assert shown.id == letter_id(shown.service, notice)


def test_the_plan_has_the_fields_that_are_told() -> None:
    assert [row[0] for row in table(PAGE, "field", "what it says")] == [
        each.name for each in fields(NoticePlan)
    ]


def test_the_figures_are_those_of_the_code() -> None:
    page = read(PAGE).replace("\n", " ")
    assert f"repeated after {verdict.FIRST_RETRY_SECONDS:g} s, doubling to an hour" in page
    assert verdict.LONGEST_RETRY_SECONDS == 3600
    assert verdict.LONGEST_WISH_SECONDS == 86400
    assert f"{verdict.MAX_ATTEMPTS} attempts in all" in page
    assert f"| {', '.join(str(each) for each in sorted(RETRIED))}, 3xx" in page
