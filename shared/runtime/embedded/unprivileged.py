"""Where an ordinary user's process, started by root, can reach its files."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
from pathlib import Path

from shared.runtime.embedded.child import ChildError

REFUGE = Path("/var/lib/padawanforge")
"""Holds what an ordinary user must reach when the project lies in a folder only root may enter."""


class Account:
    """The user that PostgreSQL runs as, since it refuses to run as root."""

    def __init__(self, uid: int, gid: int):
        self.uid = uid
        self.gid = gid

    def can_enter(self, folder: Path) -> bool:
        """Whether every folder from the root down to `folder` lets the user pass."""
        resolved = folder.resolve()
        return all(self._may_pass(each) for each in (resolved, *resolved.parents))

    def _may_pass(self, folder: Path) -> bool:
        facts = folder.stat()
        if facts.st_uid == self.uid:
            return bool(facts.st_mode & 0o100)
        if facts.st_gid == self.gid:
            return bool(facts.st_mode & 0o010)
        return bool(facts.st_mode & 0o001)


def account() -> Account | None:
    """An existing user without rights, when this process is root's; else None."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "daemon"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user.pw_uid, user.pw_gid)
    raise ChildError(
        "PostgreSQL does not run as root, and there is no user nobody: run as an ordinary user"
    )


def data_home(data: Path, user: Account | None) -> Path:
    """The folder for `data` that `user` can reach.

    `data` itself where possible; else one in REFUGE, with `data` as a link to it, so that the
    data belong to the project's folder all the same.
    """
    if user is None or data.is_symlink():
        return data.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    if data.exists() or user.can_enter(data.parent):
        return data
    home = _refuge() / f"data-{secrets.token_hex(6)}"
    data.symlink_to(home)
    return home


def reachable_copy(folders: list[Path], user: Account | None) -> Path:
    """The parent of `folders` if `user` can enter it, else that of a copy in REFUGE."""
    source = folders[0].parent
    if user is None or user.can_enter(folders[0]):
        return source
    age = f"{source}:{folders[0].stat().st_mtime_ns}"
    copy = _refuge() / f"copy-{hashlib.sha256(age.encode()).hexdigest()[:12]}"
    if not copy.exists():
        # Copied under another name first: a copy that was cut off is never taken for a whole one.
        draft = _refuge() / f"draft-{secrets.token_hex(6)}"
        for folder in folders:
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        for each in (draft, *draft.rglob("*")):
            if not each.is_symlink():
                each.chmod(_opened(each.stat().st_mode))
        try:
            draft.rename(copy)
        except OSError:  # another process was first
            shutil.rmtree(draft)
    return copy


def _opened(mode: int) -> int:
    """What the owner may read or enter, everybody may."""
    return mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6


def _refuge() -> Path:
    REFUGE.mkdir(parents=True, exist_ok=True)
    REFUGE.chmod(0o711)
    return REFUGE
