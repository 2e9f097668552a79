"""Reads code blocks, tables and links of this repository's Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent

FENCE = re.compile(r"^```(?P<info>[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: its language, the words after it, and what it holds."""

    language: str
    about: tuple[str, ...]
    text: str


def read(page: str) -> str:
    """A page by its path from the root."""
    return (ROOT / page).read_text()


def pages() -> list[str]:
    """Every page."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks(page: str, language: str) -> list[Block]:
    """The page's blocks in a language, in order."""
    found = (Block(*_words(match["info"]), match["text"]) for match in FENCE.finditer(read(page)))
    return [block for block in found if block.language == language]


def table(page: str, *header: str) -> list[tuple[str, ...]]:
    """The rows of the page's tables with this header, backticks taken off the cells."""
    rows: list[tuple[str, ...]] = []
    inside = False
    for line in read(page).splitlines():
        cells = tuple(_cells(line))
        if not cells:
            inside = False
        elif cells == header:
            inside = True
        elif inside and not set("".join(cells)) <= {"-", ":"}:
            rows.append(cells)
    return rows


def links(page: str) -> list[str]:
    """The targets of a page's links to other files here."""
    found = (match["target"].partition("#")[0] for match in LINK.finditer(read(page)))
    return [target for target in found if target and "://" not in target]


def _words(info: str) -> tuple[str, tuple[str, ...]]:
    language, *about = info.split()
    return language, tuple(about)


def _cells(line: str) -> Iterator[str]:
    if line.startswith("|"):
        for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
            yield cell.strip().strip("`").replace("\\|", "|")


def execute(page: str) -> dict[str, Any]:
    """What the page's Python blocks define, taken together as one module."""
    defined: dict[str, Any] = {"__name__": page}
    source = "\n".join(block.text for block in blocks(page, "python"))
    exec(compile(source, page, "exec", dont_inherit=True), defined)
    return defined
