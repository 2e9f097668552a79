"""What came of a tree, in the form in which all its runs must be the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from shared.messages.events import EventEnvelope
from shared.testing.trees import CallNode, ChildNode, ForkNode, Node, StartTree, StepNode
from shared.workflow.projection import project
from shared.workflow.records import Entry, InstanceKey
from tests.faults.service import Service

COUNTED = {"step", "compensation", "sleep", "signal", "child", "result", "patch"}
"""Operations whose every attempt is the workflow's own; of calls, crashes make more."""


class Ended(msgspec.Struct):
    """One instance."""

    status: str
    rollback: str | None
    run: int
    output: bytes | None
    error: object
    finished_at: object
    journal: dict[str, list[object]]
    """By path: what is finished there."""
    undone: dict[str, list[str]]
    """By the path of what was undone."""
    effects: dict[str, list[str]]
    """By path."""
    completed_steps: list[str]


class Outcome(msgspec.Struct):
    """All of them, and what the world was told."""

    instances: dict[str, Ended]
    events: set[object]
    carried_out: set[str]
    taken_back: set[str]
    letters: list[tuple[str, str, bytes]]


async def outcome_of(start: StartTree, service: Service) -> Outcome:
    """Compares what must agree within one run, and returns what must be the same in all."""
    unsure = {
        node.name
        for node in _all(start.body)
        if isinstance(node, CallNode) and node.ending == "unsure"
    }
    instances = {str(key): await _ended(start, service, key) for key in await service.keys()}
    events = [msgspec.json.decode(each, type=EventEnvelope) for each in await service.events()]
    outbox = await service.outbox()
    same("unsent", [name for name, sent in outbox.items() if not sent], [])
    same("events", sorted(event.id for event in events), sorted(outbox))
    numbers = [(event.workflow and event.workflow.id, event.sequence) for event in events]
    same("numbers of events", len(numbers), len(set(numbers)))
    same("calls that were repeated", service.outside.repeated, set[str]())
    return Outcome(
        instances,
        {(event.id, event.name, event.occurred_at, bytes(event.data)) for event in events},
        {key for key in service.outside.carried_out if key.split("/")[-2] not in unsure},
        {key for key in service.outside.undone if key.split("/")[-2] not in unsure},
        sorted(each for each in await service.letters() if not each[1].endswith(".control")),
    )


def agree(found: Outcome, expected: Outcome) -> None:
    """Raises AssertionError with the first part in which two outcomes differ."""
    same("instances", set(found.instances), set(expected.instances))
    for key, ended in expected.instances.items():
        for name in Ended.__struct_fields__:
            same(f"{name} of {key}", getattr(found.instances[key], name), getattr(ended, name))
    for name in ("events", "carried_out", "taken_back", "letters"):
        same(name, getattr(found, name), getattr(expected, name))


def _to_undo(start: StartTree, entries: Iterable[Entry]) -> set[str]:
    """What an instance has done, or may have done, that has a compensation."""
    nodes = {node.name: node for node in _all(start.body)}
    found: set[str] = set()
    for entry in entries:
        node = nodes.get(entry.name)
        if entry.path == "undo" or not isinstance(node, StepNode | CallNode):
            continue
        done = {"complete"}
        if isinstance(node, CallNode):
            done |= {"unknown"} if node.verified else {"unknown", "retrying"}
        if entry.state in done and node.undone not in {"no", False}:
            found.add(entry.name)
    return found


def _carried_out(start: StartTree, service: Service, key: InstanceKey, run: int) -> set[str]:
    """What the outside world has done for a run that has a compensation."""
    undone = {node.name for node in _all(start.body) if isinstance(node, CallNode) and node.undone}
    names = {
        each.split("/")[-2]
        for each in service.outside.carried_out
        if each.startswith(f"{key}/{run}/")
    }
    return names & undone


async def _ended(start: StartTree, service: Service, key: InstanceKey) -> Ended:
    loaded = await service.witness.load(key)
    if loaded is None:
        raise AssertionError(f"{key} has vanished")
    instance, entries = loaded
    status = project(instance, entries)
    stored = await service.statuses.get(key)
    same("status", stored and stored.document, status)
    same("inbox", await service.witness.unread(key), [])
    if instance.rollback is not None:
        names = {each.name for each in entries if each.path == "undo"}
        same("undone", names, _to_undo(start, entries))
        same("left done", _carried_out(start, service, key, instance.run) - names, set[str]())
    paths = {each.name: each.path for each in entries if each.type != "compensation"}
    undone = [entry for entry in entries if entry.path == "undo"]
    begun = {each.name: each.ordinal for each in entries if each.type != "compensation"}
    same(
        "undone last first",
        [entry.name for entry in undone],
        sorted((entry.name for entry in undone), key=lambda name: -begun[name]),
    )
    effects = await service.effects(key.id)
    if instance.run == 1:
        same("effects, each once", len(effects), len(set(effects)))
    return Ended(
        instance.status.value,
        instance.rollback,
        instance.run,
        instance.output,
        instance.error,
        instance.finished_at,
        {path: list(map(_told, found)) for path, found in _by_path(entries).items()},
        _grouped((paths[entry.name], entry.name) for entry in undone),
        _grouped((paths.get(name.removeprefix("undo "), ""), name) for name in effects),
        sorted(status.completed_steps),
    )


def _by_path(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.finished and entry.path != "undo":
            found[entry.path].append(entry)
    return dict(found)


def _told(entry: Entry) -> object:
    attempts = entry.attempts if entry.type in COUNTED else 0
    return (
        entry.name,
        entry.type,
        entry.state,
        attempts,
        entry.result,
        entry.error,
        entry.started_at,
        entry.finished_at,
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path, name in pairs:
        found[path].append(name)
    return dict(found)


def _all(body: Iterable[Node]) -> Iterator[Node]:
    for node in body:
        yield node
        if isinstance(node, ForkNode):
            for branch in node.branches:
                yield from _all(branch)
        elif isinstance(node, ChildNode):
            yield from _all(node.body)


def same(what: str, found: object, expected: object) -> None:
    """Raises AssertionError where they differ."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r} instead of {expected!r}")
