"""The pages hold together: links, words, records, commands."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.markdown import ROOT, links, pages, read, table

WORDS = {
    "workflow",
    "kind",
    "instance",
    "run",
    "trigger",
    "command",
    "event",
    "signal",
    "control",
    "step",
    "call",
    "segment",
    "checkpoint",
    "journal",
    "inbox",
    "outbox",
    "relay",
    "timekeeper",
    "delivery",
    "attempt",
    "backoff",
    "saga",
    "compensation",
    "dead letter",
    "notice",
    "channel",
    "letter",
    "courier",
    "cron",
    "lease",
    "epoch",
    "idempotency key",
    "status",
    "business time",
    "machine time",
}
RECORDS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
PARTS = ["## Context", "## Decision", "## Consequences", "## Alternatives"]


@pytest.mark.parametrize("page", pages())
def test_a_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert [link for link in links(page) if not (folder / link).exists()] == []


@pytest.mark.parametrize("page", pages())
def test_a_make_target_that_a_page_names_exists(page: str) -> None:
    makefile = read("Makefile")
    targets = {line.partition(":")[0] for line in makefile.splitlines() if ": " in line}
    tiers = re.search(r"^TIERS := (.*)$", makefile, re.MULTILINE)
    assert tiers is not None
    targets |= {f"test-{tier}" for tier in tiers[1].split()}
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", read(page), re.MULTILINE))
    assert named <= targets


def test_the_glossary_has_every_word_once() -> None:
    defined = [row[0] for row in table("docs/glossary.md", "word", "meaning")]
    assert WORDS - set(defined) == set()
    assert len(defined) == len(set(defined))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_is_short_and_complete(record: Path) -> None:
    lines = record.read_text().splitlines()
    assert len(lines) <= 40
    assert [line for line in lines if line.startswith("## ")] == PARTS
    assert any(line.startswith("> ") for line in lines), "the decision in the line people quote"


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers[0] == 1
    assert all(after == before + 1 for before, after in pairwise(numbers))
    assert links("docs/decisions/README.md") == [record.name for record in RECORDS]
    titles = [record.read_text().partition("\n")[0] for record in RECORDS]
    listed = re.findall(r"^\| (\d+) \| \[(.*)\]\(", read("docs/decisions/README.md"), re.MULTILINE)
    assert [f"# {number}. {title}" for number, title in listed] == titles
