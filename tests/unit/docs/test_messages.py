"""The pages of messages show every message there is, and each example is one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast, get_type_hints

import msgspec
import pytest

from services.player.workflows.player import PlayerWorkflow
from shared.messages import (
    billing,
    dead_letters,
    invariants,
    maintenance,
    notices,
    persons,
    player,
    problems,
    readiness,
    retention,
    schedules,
    statuses,
    subjects,
    workflows,
)
from shared.messages.base import Message, encode
from shared.messages.decoding import decode
from shared.messages.events import Event, EventEnvelope
from shared.messages.problems import Refused
from shared.testing.clocks import ManualClock
from shared.testing.memory_delivery import MemoryDelivery
from shared.workflow.commands import read as read_command
from shared.workflow.errors import Undecodable
from shared.workflow.registry import Registry, register
from tests.contracts import (
    BILLING,
    BUILTIN_COMMANDS,
    BUILTIN_QUERIES,
    CONTRACTS,
    PLAYER,
    AnyRequest,
    Contract,
)
from tests.markdown import Block, blocks, read, table

PAGE = PLAYER.page
NAMED = {
    name: value
    for module in (
        billing,
        dead_letters,
        invariants,
        maintenance,
        notices,
        persons,
        player,
        problems,
        readiness,
        retention,
        schedules,
        statuses,
        workflows,
    )
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Message)
}
WRONG = ("undecodable", "invalid_message")
EXAMPLES = {contract.page: blocks(contract.page, "json") for contract in CONTRACTS}
RIGHT = {
    page: [block for block in examples if block.about[0] not in WRONG]
    for page, examples in EXAMPLES.items()
}
OF_EACH = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.service)


def about(block: Block) -> str:
    return " ".join(block.about)


def unknown_fields(example: Any, known: Any, path: str = "") -> list[str]:
    """What the example has and its Struct, which ignores what it does not know, has not."""
    if isinstance(example, dict) and isinstance(known, dict):
        fields = cast("dict[str, Any]", example)
        return [
            each
            for name, value in fields.items()
            for each in (
                unknown_fields(value, cast("dict[str, Any]", known)[name], f"{path}.{name}")
                if name in known
                else [f"{path}.{name}"]
            )
        ]
    return []


@pytest.mark.parametrize("block", [each for page in RIGHT.values() for each in page], ids=about)
def test_an_example_is_what_its_struct_takes(block: Block) -> None:
    message = NAMED[block.about[1]]
    body = block.text.encode()
    if issubclass(message, Event):
        envelope = decode(body, EventEnvelope)
        decode(bytes(envelope.data), message)
        known: Any = {**msgspec.json.decode(encode(envelope))}
        known["data"] = msgspec.json.decode(encode(decode(bytes(envelope.data), message)))
    else:
        known = msgspec.json.decode(encode(decode(body, message)))
    assert unknown_fields(msgspec.json.decode(body), known) == []


@OF_EACH
def test_there_is_an_example_of_every_message_on_every_subject(contract: Contract) -> None:
    expected = {(subject, name_of(message)) for subject, message in contract.requests()}
    if contract is PLAYER:
        # What every service takes is shown once, on the page of all.
        expected |= {
            *(
                (subjects.command("player", each.name), name_of(each.message))
                for each in BUILTIN_COMMANDS
            ),
            *(
                (subjects.query("player", each.name), name_of(each.message))
                for each in BUILTIN_QUERIES
            ),
            (subjects.wake("player"), "Wake"),
            (subjects.control("player"), "ControlCommand"),
        }
    assert {block.about for block in RIGHT[contract.page] if "." in block.about[0]} == expected


def rows(handlers: Iterable[AnyRequest]) -> list[tuple[str, ...]]:
    return [
        (each.name, name_of(each.message), name_of(get_type_hints(each.handle)["return"]))
        for each in handlers
    ]


def name_of(message: type[Message]) -> str:
    return message.__name__


@OF_EACH
def test_the_tables_name_every_request_with_its_answer(contract: Contract) -> None:
    documented = table(contract.page, "name", "Struct", "answers")
    own: list[AnyRequest] = [*contract.commands, *contract.queries]
    if contract is PLAYER:
        own += [*contract.facts, *BUILTIN_COMMANDS, *BUILTIN_QUERIES]
    assert sorted(documented) == sorted(rows(own))
    answers = {block.about[1] for block in RIGHT[contract.page] if block.about[0] == "answer"}
    known = {block.about[1] for block in RIGHT[PAGE] if block.about[0] == "answer"}
    assert {row[2] for row in documented} - answers <= (set() if contract is PLAYER else known)
    assert answers <= {row[2] for row in documented}


@OF_EACH
def test_the_table_of_facts_names_every_fact(contract: Contract) -> None:
    documented = table(contract.page, "name", "Struct", "counts once per", "what follows")
    expected = [(each.name, name_of(each.message)) for each in contract.facts]
    assert [row[:2] for row in documented] == expected


def test_the_table_of_billings_events_names_every_event() -> None:
    documented = table(BILLING.page, "event", "Struct", "when")
    assert [row[:2] for row in documented] == [
        (each.name, name_of(each)) for each in BILLING.events
    ]


def test_every_header_is_told() -> None:
    headers = {
        value
        for name, value in vars(subjects).items()
        if name.isupper()
        and not name.endswith("_BUCKET")
        and not name.startswith(("EVENTS", "INGEST", "STATUS_BUCKET", "STATUS_S", "CACHES"))
        and not name.startswith(("EVENTS", "INGEST", "LOG_ARCHIVE", "STATUS_BUCKET", "STATUS_S"))
    }
    assert {row[0] for row in table(PAGE, "header", "who sends it", "meaning")} == headers


@pytest.mark.rule("engine-27")
def test_what_is_said_to_be_a_dead_letter_does_not_decode() -> None:
    examples = {block.about[0]: block for block in EXAMPLES[PAGE] if block.about[0] in WRONG}
    start = examples["undecodable"]
    registry = Registry([register(workflows.StartPlayer, PlayerWorkflow())])
    with pytest.raises(Undecodable, match="playerId: Invalid UUID"):
        read_command(
            registry, MemoryDelivery(start.about[1], start.text.encode()), ManualClock().now()
        )
    with pytest.raises(Refused) as refused:
        decode(examples["invalid_message"].text.encode(), player.SessionReported)
    assert refused.value.code == "invalid_message"


def test_the_columns_of_dead_letters_are_those_of_the_table() -> None:
    sql = read("shared/postgres/sql/0001_engine.sql")
    definition = sql.partition("CREATE TABLE dead_letters (")[2].partition(");")[0]
    columns = [line.split()[0] for line in definition.strip().splitlines()]
    changes = read("shared/postgres/sql/0004_retention.sql")
    columns += re.findall(r"ADD COLUMN (\w+)", changes.partition("ALTER TABLE dead_letters")[2])
    assert ["id", *(row[0] for row in table(PAGE, "column", "meaning"))] == columns
