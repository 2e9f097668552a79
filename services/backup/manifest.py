"""What a backup says of itself, and whether it is still what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from shared.messages.base import Message
from shared.postgres.migrations import read_set

FILE = "manifest.json"
FORMAT = 1


class BackupError(Exception):
    """A backup cannot be taken or restored; the message says why and what to do."""


class Part(Message, frozen=True, kw_only=True):
    """One service's schema, in the file `<service>.dump`."""

    service: str
    schema: str
    migrations: dict[str, int]
    """The number of the last one of each set."""
    size_bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Its name in the backup's folder."""
        return dump_name(self.service)


class Manifest(Message, frozen=True, kw_only=True):
    """`manifest.json`; written last."""

    format: int
    taken_at: datetime
    """Machine time, when the backup was begun: each part is as it was at an instant after it."""
    parts: tuple[Part, ...]


class Backup:
    """A whole backup, as it was found in its folder."""

    def __init__(self, folder: Path, manifest: Manifest):
        self.folder = folder
        self.manifest = manifest

    @property
    def services(self) -> list[str]:
        """Whose schemas it has."""
        return [part.service for part in self.manifest.parts]

    def part(self, service: str) -> Part:
        """That of a service. Raises BackupError where it has none."""
        for part in self.manifest.parts:
            if part.service == service:
                return part
        raise BackupError(
            f"{self.folder} has no backup of {service}, only of {', '.join(self.services)}: "
            "name one of these, or another folder"
        )

    def path(self, part: Part) -> Path:
        """The part's file."""
        return self.folder / part.file


def dump_name(service: str) -> str:
    """The file of a service's schema."""
    return f"{service}.dump"


def open_backup(folder: Path) -> Backup:
    """The backup in a folder, each part compared with its hash. Raises BackupError."""
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupError(
            f"{folder} is no backup, it has no {FILE}: name the folder that "
            "`padawanforge backup --to` wrote"
        ) from None
    except msgspec.MsgspecError as error:
        raise BackupError(f"{folder / FILE} is damaged ({error}): take another backup") from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"{folder} has format {manifest.format}, this build reads {FORMAT}: "
            "restore it with the build that wrote it"
        )
    backup = Backup(folder, manifest)
    for part in manifest.parts:
        _require_whole(backup.path(part), part)
    return backup


def require_known(part: Part, sql: Mapping[str, Path]) -> None:
    """Raises BackupError for a schema that has migrations which this build does not have."""
    for name, version in part.migrations.items():
        known = [each.version for each in read_set(name, sql[name])] if name in sql else []
        if version > max(known, default=0):
            raise BackupError(
                f"the backup of {part.service} has migration {version:04} of {name}, which this "
                f"build does not have: restore it with the build that wrote it, or a later one"
            )


def describe(file: Path) -> tuple[int, str]:
    """A file's size in bytes and its SHA-256."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    return file.stat().st_size, digest.hexdigest()


def _require_whole(file: Path, part: Part) -> None:
    try:
        found = describe(file)
    except FileNotFoundError:
        raise BackupError(f"{file} is missing: take another backup") from None
    if found != (part.size_bytes, part.sha256):
        raise BackupError(f"{file} is not what was written (its hash differs): take another backup")
