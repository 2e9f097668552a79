"""Every example of docs/messages-maintenance.md does on the wire what the page says."""

from __future__ import annotations

import msgspec

from tests.integration.docs.wire import Wire, same_fields
from tests.markdown import Block, blocks, table

PAGE = "docs/messages-maintenance.md"
EXAMPLES = blocks(PAGE, "json")
ANSWER_OF = {row[0]: row[2] for row in table(PAGE, "name", "Struct", "answers")}
SHOWN = {
    block.about[1]: msgspec.json.decode(block.text)
    for page in (PAGE, "docs/messages.md")
    for block in blocks(page, "json")
    if block.about[0] == "answer"
}


def examples(*first_words: str) -> list[Block]:
    return [block for block in EXAMPLES if block.about[0].partition(".")[0] in first_words]


async def test_the_examples_are_carried_out_and_answered_as_shown(maintenance_wire: Wire) -> None:
    for block in examples("workflows"):
        settled = await maintenance_wire.publish(block.about[0], block.text.encode())
        assert settled == b"+ACK", block.about
    for block in examples("commands", "queries"):
        reply, headers = await maintenance_wire.ask(block.about[0], block.text.encode())
        assert headers == {}, f"{block.about} was refused: {reply!r}"
        expected = SHOWN[ANSWER_OF[block.about[0].rpartition(".")[2]]]
        assert same_fields(msgspec.json.decode(reply), expected), f"{block.about}: {reply!r}"
