"""The command line: `padawanforge run`, `demo`, `migrate` and `nats-users`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.console import Console

from services.demo import run_demo
from services.stack.session import keep_running, until_stopped
from services.stack.stack import migrate_service
from shared.jetstream.authorization import authorization, variable
from shared.jetstream.rights import users
from shared.jetstream.topology import kinds_by_service
from shared.postgres.migrations import MigrationError
from shared.runtime.embedded.child import ChildError

app = typer.Typer(help="Durable background workflows for a game.", no_args_is_help=True)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

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
def nats_users() -> None:
    """Prints each NATS user with its rights, for the configuration of a nats-server."""
    typer.echo(authorization(users(kinds_by_service()), variable), nl=False)


def main() -> None:
    """Entry point of the command `padawanforge`."""
    app()


async def _migrate(service: str, database_url: str) -> bool:
    applied = await migrate_service(service, database_url)
    for file in applied:
        _say(f"applied {file}")
    _say(f"the schema of {service} is up to date")
    return True


async def _told(command: Coroutine[None, None, bool]) -> bool:
    """Tells what was expected to go wrong in a sentence instead of a traceback."""
    try:
        return await command
    except (ChildError, MigrationError, OSError, asyncpg.PostgresError) as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        return False


def _finish(succeeded: bool) -> None:
    raise typer.Exit(0 if succeeded else 1)


def _say(sentence: str) -> None:
    console.print(sentence, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
