"""The command line: `padawanforge run`, `demo`, `migrate` and `recover`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.console import Console

from services.demo import run_demo
from services.stack.folder import running_stack
from services.stack.session import keep_running, until_stopped
from services.stack.stack import migrate_service
from shared.jetstream.connection import Unreachable
from shared.messages.workflows import TRIGGERS
from shared.postgres.migrations import MigrationError
from shared.runtime.config import ConfigurationError, load
from shared.runtime.definition import ServiceSettings
from shared.runtime.embedded.child import ChildError
from shared.runtime.recovery import recover_service
from shared.workflow.errors import Transient

app = typer.Typer(help="Durable background workflows for a game.", no_args_is_help=True)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

EXPECTED = (
    ChildError,
    ConfigurationError,
    MigrationError,
    Transient,
    Unreachable,
    OSError,
    asyncpg.PostgresError,
)
"""What may go wrong with the machine, the servers or what was asked for."""

DataFolder = Annotated[Path, typer.Option("--data", help="Folder of data, logs and stack.json.")]


@app.command()
def run(data: DataFolder = Path(".data")) -> None:
    """Starts everything on this machine and stays up until Ctrl-C."""
    _finish(asyncio.run(_told(until_stopped(data, os.environ, _say, keep_running(_say)))))


@app.command()
def demo(data: DataFolder = Path(".data/demo")) -> None:
    """Starts everything, shows a player's workflow through the API, and ends."""
    _finish(asyncio.run(_told(until_stopped(data, os.environ, _say, run_demo(console)))))


@app.command()
def migrate(
    service: Annotated[str, typer.Argument(help="The service, such as player.")],
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="Its database.")],
) -> None:
    """Brings one service's schema up to date; safe while it runs."""
    _finish(asyncio.run(_told(_migrate(service, database_url))))


@app.command()
def recover(
    service: Annotated[
        str | None,
        typer.Argument(help="The service, such as player; else all of the stack on this machine."),
    ] = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Tells NATS again what PostgreSQL knows, after NATS was lost; as often as you like.

    A named service is found by NATS_URL and DATABASE_URL. Other settings must be those of the
    service's own environment.
    """
    _finish(asyncio.run(_told(_recover(service, data))))


def main() -> None:
    """Entry point of the command `padawanforge`."""
    app()


async def _migrate(service: str, database_url: str) -> bool:
    applied = await migrate_service(service, database_url)
    for file in applied:
        _say(f"applied {file}")
    _say(f"the schema of {service} is up to date")
    return True


async def _recover(service: str | None, data: Path) -> bool:
    if service is not None:
        environments = {service: dict(os.environ)}
    else:
        stack = running_stack(data)
        environments = {
            name: {**os.environ, "NATS_URL": stack.nats, "DATABASE_URL": url}
            for name, url in stack.databases.items()
        }
    for name, environment in environments.items():
        await _recover_one(name, environment)
    return True


async def _recover_one(name: str, environment: Mapping[str, str]) -> None:
    kinds = [kind for kind, trigger in TRIGGERS.items() if trigger.service == name]
    if not kinds:
        known = ", ".join(sorted({trigger.service for trigger in TRIGGERS.values()}))
        raise ConfigurationError((f"there is no service {name}: name one of {known}",))
    settings = load(ServiceSettings, environment)
    done = await recover_service(name, kinds, settings, lambda line: _say(f"{name}: {line}"))
    _say(
        f"{name} is recovered: {done.instances} instances, {done.statuses} statuses put, "
        f"{done.messages} messages published again"
    )


async def _told(command: Coroutine[None, None, bool]) -> bool:
    """Tells what was expected to go wrong in a sentence instead of a traceback."""
    try:
        return await command
    except EXPECTED as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        return False


def _finish(succeeded: bool) -> None:
    raise typer.Exit(0 if succeeded else 1)


def _say(sentence: str) -> None:
    console.print(sentence, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
