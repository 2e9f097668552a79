"""The command line: `padawanforge run`, `demo`, `migrate`, `recover`, `backup`, `restore`,
`simulate`, `nats-users`, `clock`, `logs` and `person`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import typer
from rich.console import Console

from services import clock, logs, persons
from services.backup.manifest import Backup, BackupError, open_backup
from services.backup.restoring import require_target, restore_service
from services.backup.taking import take_backup
from services.clock import ClockError
from services.demo import run_demo
from services.logs import LogsError, Wanted
from services.persons import PersonError
from services.simulate import simulate
from services.stack.folder import StackFolder, StackInfo, running_stack
from services.stack.processes import SERVICES
from services.stack.session import keep_running, until_stopped
from services.stack.stack import Stack, migrate_service, migrations_of
from shared.jetstream.authorization import authorization, variable
from shared.jetstream.connection import Unreachable
from shared.jetstream.rights import users
from shared.jetstream.topology import kinds_by_service
from shared.messages.workflows import TRIGGERS
from shared.postgres.migrations import MigrationError
from shared.runtime.clocks import SystemClock
from shared.runtime.config import ConfigurationError, load
from shared.runtime.definition import ServiceSettings
from shared.runtime.embedded.child import ChildError
from shared.runtime.recovery import recover_service
from shared.workflow.errors import Transient

app = typer.Typer(help="Durable background workflows for a game.", no_args_is_help=True)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

clock_app = typer.Typer(
    help="Business time of a stack that runs with CLOCK=virtual.", no_args_is_help=True
)
app.add_typer(clock_app, name="clock")
logs_app = typer.Typer(help="The archive of log segments.", no_args_is_help=True)
app.add_typer(logs_app, name="logs")
app.command()(simulate)
person_app = typer.Typer(
    help="What is known of a person, and forgetting it: over all services, through the gateway.",
    no_args_is_help=True,
)
app.add_typer(person_app, name="person")

EXPECTED = (
    BackupError,
    ChildError,
    ClockError,
    ConfigurationError,
    LogsError,
    MigrationError,
    PersonError,
    Transient,
    Unreachable,
    OSError,
    asyncpg.PostgresError,
)
"""What may go wrong with the machine, the servers or what was asked for."""

BOOKS = {each.name: each.books for each in SERVICES if each.books}

DataFolder = Annotated[Path, typer.Option("--data", help="Folder of data, logs and stack.json.")]
OneService = Annotated[
    str | None,
    typer.Argument(help="The service, such as player; else all of the stack on this machine."),
]
OfService = Annotated[str | None, typer.Option("--service", help="Only this service's.")]
Since = Annotated[str | None, typer.Option("--since", help="From then on: 2026-03-01T08:00:00Z.")]
Until = Annotated[str | None, typer.Option("--until", help="Up to then.")]
LogOptions = tuple[str | None, str | None, str | None]
PlayerId = Annotated[UUID | None, typer.Option("--player", help="The player's id.")]
CustomerId = Annotated[UUID | None, typer.Option("--customer", help="The customer's id.")]
ClockMode = Annotated[
    Literal["system", "virtual"],
    typer.Option("--clock", envvar="CLOCK", help="What tells business time."),
]


@app.command()
def run(data: DataFolder = Path(".data"), clock_mode: ClockMode = "system") -> None:
    """Starts everything on this machine and stays up until Ctrl-C."""
    environment = {**os.environ, "CLOCK": clock_mode}
    _finish(asyncio.run(_told(until_stopped(data, environment, _say, keep_running(_say)))))


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


@clock_app.command("show")
def clock_show(data: DataFolder = Path(".data")) -> None:
    """Shows where each process's business time stands, and what is due next."""
    _finish(asyncio.run(_told(clock.show(data, console))))


@clock_app.command("advance")
def clock_advance(
    duration: Annotated[str, typer.Argument(help="How far, such as 30d, 12h, 90m or 1d12h.")],
    data: DataFolder = Path(".data"),
) -> None:
    """Advances business time; whatever falls due on the way is done at its own instant."""
    _finish(asyncio.run(_told(clock.advance(data, duration, console))))


@clock_app.command("set")
def clock_set(
    instant: Annotated[str, typer.Argument(help="Until when, such as 2026-03-01T08:00:00Z.")],
    data: DataFolder = Path(".data"),
) -> None:
    """Advances business time to an instant, in the same way."""
    _finish(asyncio.run(_told(clock.advance_to(data, instant, console))))


@logs_app.command("list")
def logs_list(
    service: OfService = None,
    since: Since = None,
    until: Until = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Shows what is archived, at NATS_URL or of the stack on this machine."""
    _finish(asyncio.run(_told(_list_logs((service, since, until), data))))


@logs_app.command("restore")
def logs_restore(
    *,
    folder: Annotated[Path, typer.Option("--to", help="Folder for the segments.")],
    name: Annotated[str | None, typer.Argument(help="The segment, as `list` shows it.")] = None,
    service: OfService = None,
    since: Since = None,
    until: Until = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Brings segments back, byte by byte as they were: the named one, or all of a time."""
    _finish(asyncio.run(_told(_restore_logs(name, (service, since, until), folder, data))))


@person_app.command("export")
def person_export(
    to: Annotated[Path, typer.Option("--to", help="File to be made.")],
    player: PlayerId = None,
    customer: CustomerId = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Writes all that the services have about a person into a file, as JSON."""

    async def command() -> bool:
        _say(await persons.export(data, player, customer, to))
        return True

    _finish(asyncio.run(_told(command())))


@person_app.command("erase")
def person_erase(
    player: PlayerId = None,
    customer: CustomerId = None,
    again_since: Annotated[
        str | None,
        typer.Option(help="Repeat all erasures since this instant, as after a restore."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it is for good.")] = False,
    data: DataFolder = Path(".data"),
) -> None:
    """Erases a person from all services for good; what the books need stays, under bare ids."""
    if not yes:
        typer.confirm("This cannot be undone. Erase?", abort=True)

    async def command() -> bool:
        if again_since is not None:
            return await persons.erase_again(data, again_since, console)
        _say(await persons.erase(data, player, customer))
        return True

    _finish(asyncio.run(_told(command())))


@app.command()
def recover(
    service: OneService = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Tells NATS again what PostgreSQL knows, after NATS was lost; as often as you like.

    A named service is found by NATS_URL and DATABASE_URL. Other settings must be those of the
    service's own environment.
    """
    _finish(asyncio.run(_told(_recover(service, data))))


@app.command()
def backup(
    folder: Annotated[Path, typer.Option("--to", help="Folder to be made for the backup.")],
    service: OneService = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Writes the services' databases into a folder, while they work; all of it or nothing.

    A named service is found by DATABASE_URL.
    """
    _finish(asyncio.run(_told(_backup(folder, service, data))))


@app.command()
def restore(
    folder: Annotated[Path, typer.Option("--from", help="Folder that `backup` wrote.")],
    service: OneService = None,
    data: DataFolder = Path(".data"),
) -> None:
    """Gives the databases back what a backup has, in place of what they hold; services stopped.

    End the stack first: its servers are started for this, NATS is recovered, and all is ready for
    the next run. A named service is found by DATABASE_URL; recover it then, before it starts.
    """
    _finish(asyncio.run(_told(_restore(folder, service, data))))


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
        environments = _environments(running_stack(data))
    for name, environment in environments.items():
        await _recover_one(name, environment)
    return True


def _environments(stack: StackInfo) -> dict[str, dict[str, str]]:
    return {
        name: {**os.environ, "NATS_URL": stack.nats_operator, "DATABASE_URL": url}
        for name, url in stack.databases.items()
    }


async def _recover_one(name: str, environment: Mapping[str, str]) -> None:
    kinds = [kind for kind, trigger in TRIGGERS.items() if trigger.service == name]
    if not kinds:
        known = ", ".join(sorted({trigger.service for trigger in TRIGGERS.values()}))
        raise ConfigurationError((f"there is no service {name}: name one of {known}",))
    settings = load(ServiceSettings, environment)
    done = await recover_service(name, kinds, settings, lambda line: _say(f"{name}: {line}"))
    _say(
        f"{name} is recovered: {done.instances} instances, {done.statuses} statuses put, "
        f"{done.forgotten} taken away, {done.messages} messages published again"
    )


async def _list_logs(options: LogOptions, data: Path) -> bool:
    which = logs.wanted(*options)
    async with logs.log_archive(data) as archive:
        logs.show(console, await logs.find(archive, which))
    return True


async def _restore_logs(name: str | None, options: LogOptions, folder: Path, data: Path) -> bool:
    which = logs.wanted(*options)
    if (name is None) == (which == Wanted()):
        raise LogsError("name a segment, or say which by --service, --since and --until")
    async with logs.log_archive(data) as archive:
        names = [name] if name is not None else list(await logs.find(archive, which))
        await logs.restore(archive, names, folder, _say)
    return True


async def _backup(folder: Path, service: str | None, data: Path) -> bool:
    databases = running_stack(data).databases if service is None else _named(service)
    taken = await take_backup(folder, databases, BOOKS, SystemClock().now(), _say)
    _say(f"the backup of {taken.taken_at:%Y-%m-%d %H:%M:%S} UTC is in {folder}")
    return True


async def _restore(folder: Path, service: str | None, data: Path) -> bool:
    found = await asyncio.to_thread(open_backup, folder)
    if service is not None:
        await _restore_all(found, _named(service))
        _say(f"before you start the service: padawanforge recover {service}")
        return True
    async with Stack(StackFolder(data), _say, os.environ, serving=False) as stack:
        info = stack.info
        await _restore_all(found, _of_stack(found, info))
        for name, environment in _environments(info).items():
            await _recover_one(name, environment)
    _say("all is restored: start the stack again with padawanforge run")
    return True


async def _restore_all(found: Backup, databases: Mapping[str, str]) -> None:
    for name, url in databases.items():
        await require_target(name, url, found, migrations_of(name))
    for name, url in databases.items():
        await restore_service(
            name, url, found, migrations_of(name), books=BOOKS.get(name), say=_say
        )
        _say(f"{name} is as it was on {found.manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC")


def _of_stack(found: Backup, stack: StackInfo) -> dict[str, str]:
    if strangers := [name for name in found.services if name not in stack.databases]:
        raise BackupError(
            f"{found.folder} has {', '.join(strangers)}, which this build does not know: restore "
            "it with the build that wrote it, or a later one"
        )
    for name in stack.databases:
        if name not in found.services:
            _say(f"the backup does not have {name}, which stays as it is")
    return {name: stack.databases[name] for name in found.services}


def _named(service: str) -> dict[str, str]:
    if service not in (known := [each.name for each in SERVICES if each.has_database]):
        raise ConfigurationError(
            (f"there is no service {service}: name one of {', '.join(known)}",)
        )
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError(("DATABASE_URL is not set: set it to the service's database",))
    return {service: url}


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
