"""The users as a nats-server reads them in its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shared.jetstream.rights import User


def authorization(users: Iterable[User], password: Callable[[str], str]) -> str:
    """The block `authorization`; `password` gives that of a user by name, as `quoted` or
    `variable` write it."""
    blocks = "".join(_user(user, password(user.name)) for user in users)
    return f"authorization {{\n  users: [\n{blocks}  ]\n}}\n"


def quoted(text: str) -> str:
    """A text as a value that the server takes as it is."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def variable(user: str) -> str:
    """A password that the server takes from its own environment, `NATS_PASSWORD_PLAYER`."""
    return f"$NATS_PASSWORD_{user.upper()}"


def _user(user: User, password: str) -> str:
    publish = _allow((right.purpose, right.publish) for right in user.rights)
    subscribe = _allow((right.purpose, right.subscribe) for right in user.rights)
    return (
        "    {\n"
        f"      user: {quoted(user.name)}\n"
        f"      password: {password}\n"
        "      permissions: {\n"
        f"        publish: {{ allow: [\n{publish}        ] }}\n"
        f"        subscribe: {{ allow: [\n{subscribe}        ] }}\n"
        "      }\n"
        "    }\n"
    )


def _allow(rights: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    lines = (
        line
        for purpose, allowed in rights
        if allowed
        for line in (f"# {purpose}", *map(quoted, allowed))
    )
    return "".join(f"          {line}\n" for line in lines)
