"""A mail is the same each time, and nobody's text writes a header of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.messages.notices import Notice
from shared.notify.channel import Letter, Undeliverable
from shared.notify.mail import compose
from shared.notify.rendering import Template, render

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEMPLATES = {"paid": Template("$amount paid", "Dear $recipient,\n$amount for $items.\n")}


def letter(address: str | None = "ann@example.org", **data: Any) -> Letter:
    notice = Notice(name="paid", recipient="ann", key="k", data={"amount": "4 €", **data})
    return Letter("an-id", "billing", notice, NOW, address)


def test_a_mail_is_the_same_bytes_each_time_and_carries_the_letters_id() -> None:
    mail = compose(letter(items=["hat", 2]), "game@example.org", TEMPLATES)
    assert mail["Message-ID"] == "<an-id@example.org>"
    assert (mail["From"], mail["To"]) == ("game@example.org", "ann@example.org")
    assert mail["Subject"] == "4 € paid"
    assert mail["Date"] == "Mon, 02 Mar 2026 12:00:00 +0000"
    assert mail.get_content().splitlines() == ["Dear ann,", '4 € for ["hat",2].']
    again = compose(letter(items=["hat", 2]), "game@example.org", TEMPLATES)
    assert bytes(mail) == bytes(again)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@example.org\nBcc: bob@example.org",
        "ann@example.org\r\nBcc: bob@example.org",
        "ann@example.org, bob@example.org",
        "ann@example.org>\n",
        "Ann <ann@example.org>",
    ],
)
def test_an_address_that_is_not_one_address_is_undeliverable(address: str) -> None:
    with pytest.raises(Undeliverable, match="no mail address"):
        compose(letter(address, items=[]), "game@example.org", TEMPLATES)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_a_line_break_in_the_subject_is_undeliverable(line_break: str) -> None:
    injected = f"4{line_break}Bcc: bob@example.org"
    with pytest.raises(Undeliverable, match="line break"):
        compose(letter(amount=injected, items=[]), "game@example.org", TEMPLATES)


def test_a_line_break_in_the_body_is_text() -> None:
    mail = compose(letter(items="a\nBcc: bob@example.org"), "game@example.org", TEMPLATES)
    assert mail["Bcc"] is None


def test_a_fact_that_a_template_misses_is_named() -> None:
    with pytest.raises(Undeliverable, match="items"):
        compose(letter(), "game@example.org", TEMPLATES)


def test_a_notice_without_a_template_reads_as_its_facts() -> None:
    notice = Notice(
        name="health_alert", recipient="operators", key="k", data={"part": "nats", "n": 3}
    )
    assert render(notice, TEMPLATES) == ("Health alert", "part: nats\nn: 3\n")
