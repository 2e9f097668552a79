"""The stack's folder: what is kept from run to run, and what a running stack tells scripts."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from shared.messages.base import Message
from shared.runtime.embedded.child import ChildError, free_port, is_free
from shared.runtime.embedded.private import write_private


class StackInfo(Message, frozen=True, kw_only=True):
    """`stack.json`, there while the stack runs: addresses, the API key and process ids."""

    gateway: str
    api_key: str
    nats: str
    """As an external publisher."""
    nats_operator: str
    """As whoever sits at the command line."""
    databases: dict[str, str]
    """Of each service with a schema, as its role."""
    processes: dict[str, int]
    logs: str
    clock: str = "system"


class Kept(msgspec.Struct, kw_only=True, rename="camel"):
    """`kept.json`: what the next run uses again."""

    api_key: str
    passwords: dict[str, str] = {}
    ports: dict[str, int] = {}
    clock_start: datetime | None = None


class StackFolder:
    """A folder such as `.data`, used by one stack at a time."""

    def __init__(self, path: Path):
        self.path = path.absolute()
        self._lock: IO[str] | None = None
        self._kept = Kept(api_key=secrets.token_urlsafe(24))

    @property
    def info_path(self) -> Path:
        """Where scripts find the running stack."""
        return self.path / "stack.json"

    @property
    def api_key(self) -> str:
        """The gateway's key, made once."""
        return self._kept.api_key

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.path / "logs" / f"{name}.log"

    @property
    def segments(self) -> Path:
        """Where the services' log segments are."""
        return self.path / "logs" / "segments"

    def open(self) -> None:
        """Takes the folder, making it where needed. Raises ChildError when a stack has it."""
        # As root, PostgreSQL runs as another user, who must pass through to its data; all that
        # lies in here is private by its own mode.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        for folder in (self.path.parent, self.path):
            if not folder.exists():
                folder.mkdir(parents=True, mode=mode)
        (self.path / "logs").mkdir(exist_ok=True, mode=0o700)
        self.segments.mkdir(exist_ok=True, mode=0o700)
        lock = (self.path / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ChildError(
                f"a stack is running from {self.path} already: end it with Ctrl-C where it was "
                f"started, or use it; its address is in {self.info_path}"
            ) from None
        self._lock = lock
        self._load()

    def close(self) -> None:
        """Says that nothing runs any more, and gives the folder back."""
        self.info_path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def publish(self, info: StackInfo) -> None:
        """Writes `stack.json`, for this user's eyes only."""
        write_private(self.info_path, msgspec.json.format(msgspec.json.encode(info)))

    def password(self, name: str) -> str:
        """The password of that name, such as a service's role in PostgreSQL; made once."""
        if name not in self._kept.passwords:
            self._kept.passwords[name] = secrets.token_urlsafe(24)
            self._save()
        return self._kept.passwords[name]

    def port(self, name: str, environment: Mapping[str, str]) -> int:
        """The port for `name`: that of its variable, such as GATEWAY_PORT, else the last run's
        where it is free. Raises ChildError when the variable's cannot be had."""
        variable = f"{name.upper()}_PORT"
        if given := environment.get(variable):
            if not given.isdecimal() or not 0 < int(given) < 65536:
                raise ChildError(f"{variable} must be a port from 1 to 65535, not {given}")
            if not is_free(int(given)):
                raise ChildError(
                    f"port {given} is taken: set {variable} to another, or end what listens there"
                )
            return int(given)
        last = self._kept.ports.get(name)
        while last is None or not is_free(last):
            candidate = free_port()
            if candidate not in self._kept.ports.values():
                last = self._kept.ports[name] = candidate
                self._save()
        return last

    def clock_start(self, now: datetime) -> datetime:
        """Where the folder's virtual clock begins: `now`, when it is asked for the first time."""
        if self._kept.clock_start is None:
            self._kept.clock_start = now
            self._save()
        return self._kept.clock_start

    def _load(self) -> None:
        path = self.path / "kept.json"
        if not path.exists():
            self._save()
            return
        try:
            self._kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        except msgspec.MsgspecError as error:
            raise ChildError(
                f"{path} is damaged ({error}): delete it, a new one is made"
            ) from error

    def _save(self) -> None:
        write_private(self.path / "kept.json", msgspec.json.encode(self._kept))


def running_stack(folder: Path) -> StackInfo:
    """What the running stack of a folder tells. Raises ChildError where none runs."""
    path = StackFolder(folder).info_path
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackInfo)
    except FileNotFoundError:
        raise ChildError(f"no stack runs from {folder}: start one there, or name another") from None
