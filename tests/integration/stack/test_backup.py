"""The commands `padawanforge backup` and `padawanforge restore`."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg
import pytest

from services.backup import programs
from services.backup.manifest import BackupError, open_backup
from services.backup.programs import find, without_password
from shared.runtime.embedded import postgres
from shared.runtime.embedded.child import ChildError

MakeDatabase = Callable[[str], Awaitable[str]]


async def command(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Its exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", *arguments),
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_a_named_service_is_found_by_its_environment(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": await make_database("player")}
    folder = tmp_path / "kept"

    code, printed = await command("backup", "player", "--to", str(folder), environment=environment)
    assert (code, "the backup of" in printed) == (0, True), printed
    assert open_backup(folder).services == ["player"]
    environment = {"DATABASE_URL": await make_database("player")}
    code, printed = await command(
        "restore", "player", "--from", str(folder), environment=environment
    )
    assert code == 0, printed
    assert "player is as it was on" in printed
    assert "before you start the service: padawanforge recover player" in printed


async def test_who_was_erased_stays_whatever_the_backup_knows_of_erasures(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    url = await make_database("maintenance")
    there = {"DATABASE_URL": url}
    database = await asyncpg.connect(url)
    try:
        # As the build had it that knew of no persons.
        await database.execute("DROP TABLE person_erasures, person_exports, api_keys")
        await database.execute(
            "DELETE FROM schema_migrations WHERE set_name = 'maintenance' AND version >= 6"
        )
        for name in ("before", "after"):
            to = str(tmp_path / name)
            code, printed = await command("backup", "maintenance", "--to", to, environment=there)
            assert code == 0, printed
            code, printed = await command("migrate", "maintenance", environment=there)
            assert code == 0, printed
        erased = "SELECT workflow_id FROM person_erasures"
        await database.execute(
            "INSERT INTO person_erasures (workflow_id, player_id, erased_at) "
            "VALUES ('erasure', gen_random_uuid(), now())"
        )
    finally:
        await database.close()
    for name in ("before", "after"):
        source = str(tmp_path / name)
        code, printed = await command("restore", "maintenance", "--from", source, environment=there)
        assert code == 0, printed
        database = await asyncpg.connect(url)
        assert await database.fetchval(erased) == "erasure"
        await database.close()


async def test_what_is_missing_or_wrong_is_told_in_a_sentence(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    nothing = {"DATABASE_URL": ""}
    billing = {"DATABASE_URL": await make_database("billing")}
    assert (await command("backup", "billing", "--to", str(folder), environment=billing))[0] == 0
    for arguments, environment, remedy in (
        (("backup", "--to", "x", "--data", str(tmp_path)), nothing, "no stack runs from"),
        (("backup", "nobody", "--to", "x"), billing, "no service nobody: name one of player"),
        (("backup", "player", "--to", "x"), nothing, "DATABASE_URL is not set: set it to"),
        (("backup", "billing", "--to", str(folder)), billing, "is there already"),
        (("restore", "--from", str(tmp_path)), nothing, "is no backup, it has no manifest.json"),
        (("restore", "player", "--from", str(folder)), billing, "has no backup of player, only of"),
    ):
        code, printed = await command(*arguments, environment=environment)
        assert (code, remedy in printed, "Traceback" in printed) == (1, True, False), printed


def test_a_password_is_neither_in_the_address_nor_lost() -> None:
    assert without_password("postgresql://player:p%40ss@db:5432/forge?sslmode=require") == (
        "postgresql://player@db:5432/forge?sslmode=require",
        "p@ss",
    )
    assert without_password("postgresql://db/forge?user=player&password=secret") == (
        "postgresql://db/forge?user=player",
        "secret",
    )
    assert without_password("postgresql://player@db/forge") == (
        "postgresql://player@db/forge",
        None,
    )


async def test_what_a_program_complains_of_is_told_without_the_password() -> None:
    with pytest.raises(BackupError, match="psql failed: ") as raised:
        await programs.run("psql", "-c", "SELECT", url="postgresql://p:hush@127.0.0.1:1/forge")

    assert "hush" not in str(raised.value)


def test_without_the_wheel_the_programs_of_the_path_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    embedded = find("pg_dump")

    def missing(_: object) -> Path:
        raise ChildError("not installed")

    monkeypatch.setattr(postgres, "programs", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="pg_dump is missing: install the wheel"):
        find("pg_dump")
    shutil.copy(embedded, tmp_path / "pg_dump")
    assert find("pg_dump") == str(tmp_path / "pg_dump")
