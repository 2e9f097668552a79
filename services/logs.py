"""`padawanforge logs`: the archive of log segments, listed and brought back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from services.maintenance.archive.archives import of_headers, unpacked
from services.maintenance.rules.segments import archive_name
from services.stack.folder import running_stack
from shared.jetstream.connection import close, connect
from shared.jetstream.objects import JetStreamObjects, ObjectDamaged, ObjectMissing, Objects
from shared.messages import subjects
from shared.messages.clock import Instant
from shared.messages.segments import ARCHIVED, Manifest

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """Which segments: of a service, with lines of a time; None where it is all the same."""

    service: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, manifest: Manifest) -> bool:
        """Whether it is among them."""
        return (
            self.service in {None, manifest.service}
            and (self.since is None or manifest.closed_at >= self.since)
            and (self.until is None or manifest.opened_at <= self.until)
        )


def wanted(service: str | None, since: str | None, until: str | None) -> Wanted:
    """What the options say. Raises LogsError."""
    return Wanted(service, _instant("--since", since), _instant("--until", until))


class LogsError(Exception):
    """What was asked for cannot be had; the message says why and what to do."""


@asynccontextmanager
async def log_archive(data: Path) -> AsyncGenerator[Objects]:
    """The archive at NATS_URL, or else of the stack that runs from the folder."""
    url = os.environ.get("NATS_URL") or running_stack(data).nats_operator
    client = await connect(url, "logs")
    try:
        yield JetStreamObjects(client, subjects.LOG_ARCHIVE_BUCKET)
    finally:
        await close(client)


def _instant(option: str, text: str | None) -> datetime | None:
    """An option's instant. Raises LogsError."""
    if text is None:
        return None
    try:
        return msgspec.convert(text, Instant)
    except msgspec.ValidationError as error:
        raise LogsError(
            f"{option} is no instant: give one with its offset, such as 2026-03-01T08:00:00Z"
        ) from error


async def find(archive: Objects, which: Wanted) -> dict[str, Manifest]:
    """The archived segments that are wanted, by name. Raises LogsError."""
    found: dict[str, Manifest] = {}
    for info in await archive.infos():
        try:
            manifest = of_headers(info.name, info.headers)
        except ObjectDamaged as error:
            raise LogsError(f"{error}: it was not put by this service, delete it") from error
        if which.has(manifest):
            found[info.name.removesuffix(ARCHIVED)] = manifest
    return found


def show(console: Console, found: dict[str, Manifest]) -> None:
    """Prints what is there."""
    table = Table("segment", "from", "to", "bytes")
    for name, each in found.items():
        span = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (each.opened_at, each.closed_at))
        table.add_row(name, *span, str(each.size_bytes))
    console.print(table)


async def restore(archive: Objects, names: Sequence[str], folder: Path, say: Say) -> None:
    """Writes the segments into the folder, each whole or not at all.

    Raises LogsError for one that is not there, is damaged, or would replace another file.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    for name in names:
        try:
            await _restore_one(archive, name, folder)
        except (ObjectMissing, ObjectDamaged) as error:
            raise LogsError(
                f"{error}: see padawanforge logs list for what is there, and LOG_DIR for what is "
                "not archived yet"
            ) from error
        say(f"{folder / name} is as it was")


async def _restore_one(archive: Objects, name: str, folder: Path) -> None:
    info = await archive.info(archive_name(name))
    if info is None:
        raise ObjectMissing(f"the archive has no segment {name}")
    manifest = of_headers(info.name, info.headers)
    target, unfinished = folder / name, folder / f"{name}.unfinished"
    if target.exists():
        if await asyncio.to_thread(_sha256, target) == manifest.sha256:
            return
        raise LogsError(f"{target} is there with other bytes: move it, or restore elsewhere")
    try:
        with unfinished.open("wb") as file:
            async for raw in unpacked(archive, info.name, manifest):
                await asyncio.to_thread(file.write, raw)
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(256 * 1024):
            digest.update(block)
    return digest.hexdigest()
