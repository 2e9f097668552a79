"""Takes the examples of the API description from the pages: `python -m tests.examples`."""

from __future__ import annotations

import json
from typing import Any

from tests.contracts import CONTRACTS
from tests.markdown import ROOT, blocks

FILE = ROOT / "services/gateway/description/examples.json"
OF_NO_STRUCT = {"undecodable", "invalid_message"}


def collected() -> dict[str, Any]:
    """The first example of each Struct on each subject, and of each answer."""
    found: dict[str, Any] = {}
    for page in (*(contract.page for contract in CONTRACTS), "docs/http.md"):
        for block in blocks(page, "json"):
            if block.about[0] in OF_NO_STRUCT:
                continue
            about = block.about if len(block.about) > 1 else ("answer", *block.about)
            found.setdefault(" ".join(about), json.loads(block.text))
    return found


def written() -> str:
    """The file as it should be."""
    return json.dumps(collected(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written())
