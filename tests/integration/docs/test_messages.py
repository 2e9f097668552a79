"""Every example of docs/messages.md does on the wire what the page says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest
from nats.js.errors import NoStreamResponseError

from shared.messages.notices import Notice
from shared.messages.problems import Problem
from shared.messages.workflows import Status, StatusDocument
from shared.postgres.notices import NoticeStore
from shared.runtime.clocks import SystemClock
from tests.integration.docs.wire import Wire, same_fields
from tests.markdown import Block, blocks, table

PAGE = "docs/messages.md"
EXAMPLES = blocks(PAGE, "json")
WRONG = [block for block in EXAMPLES if block.about[0] in {"undecodable", "invalid_message"}]
ANSWER_OF = {row[0]: row[2] for row in table(PAGE, "name", "Struct", "answers")}
START = "workflows.player.start"


def examples(first_word: str) -> list[Block]:
    return [block for block in EXAMPLES if block.about[0].partition(".")[0] == first_word]


def example(about: str) -> bytes:
    return next(block for block in EXAMPLES if about in block.about).text.encode()


def recently(text: str) -> bytes:
    """The example as of yesterday: what is older than a month, a player's run deletes."""
    yesterday = SystemClock().now().date() - timedelta(days=1)
    return text.replace("2026-03-02T", f"{yesterday}T").encode()


ANSWERS = {block.about[1]: msgspec.json.decode(block.text) for block in examples("answer")}


async def ask(wire: Wire, subject: str, body: bytes) -> None:
    reply, headers = await wire.ask(subject, body)
    assert headers == {}, f"{subject} was refused: {reply!r}"
    expected = ANSWERS[ANSWER_OF[subject.rpartition(".")[2]]]
    assert same_fields(msgspec.json.decode(reply), expected), f"{subject}: {reply!r}"


async def post_notice(database_url: str) -> None:
    """What the examples about notices are about; no request posts one."""
    connection = await asyncpg.connect(database_url)
    notice = msgspec.convert(ANSWERS["PostedNotice"], Notice)
    await NoticeStore(connection).post(notice, datetime(2026, 3, 2, 12, tzinfo=UTC))
    await connection.close()


async def test_the_examples_are_carried_out_and_answered_as_shown(
    wire: Wire, database_url: str
) -> None:
    await post_notice(database_url)
    creation, *commands = examples("commands")
    await ask(wire, creation.about[0], creation.text.encode())
    for message_id in ("first", "second"):
        # The two letters that the examples are about.
        await wire.publish(START, example("undecodable"), {"Nats-Msg-Id": message_id})
    for block in (*examples("workflows"), *examples("ingest")):
        assert await wire.publish(block.about[0], recently(block.text)) == b"+ACK", block.about
    for block in (*commands, *examples("queries")):
        await ask(wire, block.about[0], block.text.encode())
    for block in examples("ingest"):
        name = block.about[0].rpartition(".")[2]
        await ask(wire, f"commands.player.{name}", recently(block.text))
    for block in examples("events"):
        event = msgspec.json.decode(await wire.event(block.about[0]))
        assert same_fields(event, msgspec.json.decode(block.text)), block.about


@pytest.mark.rule("engine-16")
async def test_the_id_of_a_start_is_found_in_the_order_told(wire: Wire) -> None:
    await ask(wire, "commands.player.create_player", example("commands.player.create_player"))
    bare, named = (block.text.encode() for block in examples("workflows")[:2])

    for body, headers, expected in (
        (named, {"Workflow-Id": "by-header", "Nats-Msg-Id": "a"}, "by-header"),
        (named, {"Nats-Msg-Id": "b"}, "first-run"),
        (bare, {"Nats-Msg-Id": "by-message-id"}, "by-message-id"),
    ):
        assert await wire.publish(START, body, headers) == b"+ACK"
        reply, _ = await wire.ask(
            "queries.player.instance", msgspec.json.encode({"kind": "player", "id": expected})
        )
        assert msgspec.json.decode(reply, type=StatusDocument).status is Status.COMPLETE


async def test_a_refusal_is_the_problem_document_that_is_shown(wire: Wire) -> None:
    await ask(wire, "commands.player.create_player", example("commands.player.create_player"))
    spend = msgspec.json.decode(example("commands.player.spend"))
    body = msgspec.json.encode({**spend, "coins": 1000})

    reply, headers = await wire.ask("commands.player.spend", body)

    shown = msgspec.json.decode(example("problem"), type=Problem)
    found = msgspec.json.decode(reply, type=Problem)
    assert (found.code, found.status, found.field) == (shown.code, shown.status, shown.field)
    assert headers["Nats-Service-Error-Code"] == str(shown.status)
    assert headers["Nats-Service-Error"] == shown.code


@pytest.mark.rule("engine-27")
async def test_what_cannot_be_carried_out_is_a_dead_letter_as_told(
    wire: Wire, database_url: str
) -> None:
    for block in WRONG:
        settled = await wire.publish(block.about[1], block.text.encode())
        assert settled.startswith(b"+TERM")

    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT reason, subject, body FROM dead_letters ORDER BY id")
    await connection.close()
    assert [tuple(row.values()) for row in rows] == [
        (*block.about, block.text.encode()) for block in WRONG
    ]


@pytest.mark.rule("engine-33")
async def test_an_unknown_kind_has_no_responders(wire: Wire) -> None:
    with pytest.raises(NoStreamResponseError):
        await wire.publish("workflows.unknown.start", b"{}")
