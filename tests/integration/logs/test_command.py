"""`padawanforge logs`, and the rights that archiving and restoring need."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.__main__ import app
from shared.jetstream.authorization import authorization, quoted
from shared.jetstream.connection import connect
from shared.jetstream.objects import JetStreamObjects
from shared.jetstream.rights import users
from shared.jetstream.topology import kinds_by_service
from shared.messages import subjects
from shared.testing.servers import embedded_nats
from tests.integration.logs.conftest import NOW, WEEK, Depot


async def command(*arguments: str) -> tuple[int, str]:
    ended = await asyncio.to_thread(CliRunner().invoke, app, ["logs", *arguments])
    return ended.exit_code, ended.output


async def test_segments_are_listed_and_restored(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", depot.nats_url)
    monkeypatch.setenv("COLUMNS", "200")
    path = depot.write(age=WEEK + timedelta(hours=1))
    before = path.read_bytes()
    await depot.archiver().archive(NOW, WEEK)

    code, shown = await command("list", "--service", "player")
    assert (code, path.name in shown) == (0, True)
    to = tmp_path / "back"
    code, shown = await command("restore", "--since", "2026-03-01T00:00:00Z", "--to", str(to))
    assert code == 0, shown
    assert (to / path.name).read_bytes() == before

    code, shown = await command("restore", "none.jsonl", "--to", str(to))
    assert (code, "the archive has no segment none.jsonl" in shown) == (1, True)
    code, shown = await command("list", "--since", "yesterday")
    assert (code, "--since is no instant" in shown) == (1, True)
    code, shown = await command("restore", "--to", str(to))
    assert (code, "name a segment" in shown) == (1, True)


async def test_maintenance_keeps_the_archive_and_the_operator_reads_it() -> None:
    known = authorization(users(kinds_by_service()), lambda _: quoted("pw"))
    async with embedded_nats(known) as server:
        keeper = await connect(server.url_as("maintenance", "pw"), "keeper")
        reader = await connect(server.url_as("operator", "pw"), "reader")
        kept = JetStreamObjects(keeper, subjects.LOG_ARCHIVE_BUCKET)
        for data in (b"first", b"second"):
            await kept.put("one.gz", BytesIO(data), {})
        await kept.put("gone.gz", BytesIO(b"gone"), {})
        await kept.delete("gone.gz")
        assert await kept.reclaim() == 0

        read = JetStreamObjects(reader, subjects.LOG_ARCHIVE_BUCKET)
        assert [info.name for info in await read.infos()] == ["one.gz"]
        assert b"".join([chunk async for chunk in read.get("one.gz")]) == b"second"
        await keeper.close()
        await reader.close()
