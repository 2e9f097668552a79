"""The AsyncAPI document: what travels on NATS, as the services see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from services.gateway.description import examples
from services.gateway.description.schemas import components
from shared.messages import subjects
from shared.messages.base import IDENTIFIER_PATTERN, Message
from shared.messages.contract import (
    BUILTIN_COMMANDS,
    BUILTIN_QUERIES,
    COMMANDS,
    EVENTS,
    FACTS,
    QUERIES,
    SERVICES,
    Call,
)
from shared.messages.events import Event, EventEnvelope
from shared.messages.problems import Problem
from shared.messages.workflows import TRIGGERS, ControlCommand, SignalCommand, Wake

ABOUT = """What the services take and tell over NATS JetStream. Names, streams and rights are in
docs/messages.md and docs/operating.md; a message may have fields that are not told here."""
ANY_SERVICE = "{service}"
ANY_KIND = "{kind}"
ANY_ID = "{workflowId}"
PARAMETERS: dict[str, dict[str, Any]] = {
    ANY_SERVICE: {"enum": list(SERVICES), "description": "Each answers for itself."},
    ANY_KIND: {"enum": list(TRIGGERS), "description": "Kind of the workflow."},
    ANY_ID: {"description": f"Id of the instance: {IDENTIFIER_PATTERN}"},
}
HEADERS: dict[str, dict[str, Any]] = {
    "start": {
        subjects.WORKFLOW_ID: "The instance's id; else that of the body, or of the message.",
        subjects.MESSAGE_ID: "Within the stream's window the same one is stored once.",
    },
    "request": {
        subjects.IDEMPOTENCY_KEY: "The same key and body get the first answer again.",
        subjects.ACTOR: "Who asks.",
    },
    "fact": {subjects.MESSAGE_ID: "The fact's own id, by which it counts once."},
    "event": {subjects.MESSAGE_ID: "The event's id, as in the body."},
}


class Channel(NamedTuple):
    """One subject, or one pattern of subjects."""

    address: str
    message: type[Message]
    action: Literal["send", "receive"]
    headers: str
    answer: type[Message] | None = None
    """What a request is answered with; a problem instead where it is refused."""


def channels() -> Iterator[Channel]:
    """All that the contract has."""
    for kind, trigger in TRIGGERS.items():
        yield Channel(subjects.start(kind), trigger, "receive", "start")
        if trigger.signals:
            yield Channel(subjects.signal(kind, ANY_ID), SignalCommand, "receive", "fact")
    yield Channel(subjects.wake(ANY_KIND), Wake, "receive", "fact")
    yield Channel(subjects.control(ANY_KIND), ControlCommand, "receive", "fact")
    yield from _requests(ANY_SERVICE, BUILTIN_COMMANDS, BUILTIN_QUERIES)
    for service in SERVICES:
        yield from _requests(service, COMMANDS[service], QUERIES[service])
        for name, fact in FACTS.get(service, {}).items():
            yield Channel(subjects.ingest(service, name), fact, "receive", "fact")
        for event in EVENTS.get(service, ()):
            yield Channel(subjects.event(service, event.name), event, "send", "event")


def _requests(
    service: str, commands: tuple[Call, ...], queries: tuple[Call, ...]
) -> Iterator[Channel]:
    for call in commands:
        address = subjects.command(service, call.name)
        yield Channel(address, call.message, "receive", "request", call.answer)
    for call in queries:
        address = subjects.query(service, call.name)
        yield Channel(address, call.message, "receive", "request", call.answer)


def document(version: str) -> dict[str, Any]:
    """The document."""
    known = list(channels())
    answers = [each.answer for each in known if each.answer is not None]
    _, schemas = components([EventEnvelope, Problem, *answers, *(each.message for each in known)])
    messages = {name: _message(name) for name in schemas}
    of_channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for each in known:
        name = _key(each.address)
        of_channels[name] = _channel(each)
        operations[name] = _operation(each)
        if each.answer is not None:
            of_channels[f"{name}-reply"] = {
                "address": None,
                "messages": _references(each.answer.__name__, Problem.__name__),
            }
    sent = {name for one in of_channels.values() for name in one["messages"]}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "PadawanForge Workflows",
            "version": version,
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": of_channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": {
                **{name: each for name, each in messages.items() if name in sent},
                **{each.message.__name__: _told(each) for each in known if _is_event(each)},
            },
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": channel.address,
        "description": channel.message.__doc__ or "",
        "messages": _references(channel.message.__name__),
    }
    parameters = {
        name.strip("{}"): about for name, about in PARAMETERS.items() if name in channel.address
    }
    if parameters:
        found["parameters"] = parameters
    return found


def _operation(channel: Channel) -> dict[str, Any]:
    name = _key(channel.address)
    found: dict[str, Any] = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{channel.message.__name__}"}],
        "traits": [{"description": _headers_told(channel.headers)}],
    }
    if channel.answer is not None:
        found["reply"] = {
            "address": {
                "description": "The reply subject of the request.",
                "location": "$message.header#/reply",
            },
            "channel": {"$ref": f"#/channels/{name}-reply"},
        }
    return found


def _headers_told(about: str) -> str:
    return "Headers: " + " ".join(f"`{name}`: {what}" for name, what in HEADERS[about].items())


def _is_event(channel: Channel) -> bool:
    return issubclass(channel.message, Event)


def _message(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
    given = [
        value for about, value in examples.EXAMPLES.items() if about.rpartition(" ")[2] == name
    ]
    if given:
        found["examples"] = [{"payload": each} for each in given]
    return found


def _told(channel: Channel) -> dict[str, Any]:
    """An event in its envelope."""
    name = channel.message.__name__
    return {
        **_message(name),
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/EventEnvelope"}],
            "properties": {"data": {"$ref": f"#/components/schemas/{name}"}},
        },
    }


def _references(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _key(address: str) -> str:
    return address.replace("{", "").replace("}", "").replace(".", "-")
