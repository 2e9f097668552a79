"""Settings from the environment: typed, frozen, and refused with all their errors at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from shared.messages.clock import Instant

S = TypeVar("S", bound="Settings")


class ConfigurationError(Exception):
    """The environment does not hold what a process needs; `problems` has a sentence for each."""

    def __init__(self, problems: tuple[str, ...]):
        super().__init__("\n".join(problems))
        self.problems = problems


class Secret:
    """A value that no log, message or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def reveal(self) -> str:
        """The value itself, for whom it is meant."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What every process takes. A field's name in upper case is its variable; its description
    says what to set it to."""

    NEEDS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of fields the first of which, set at all or to `field=value`, is of no use without the
    second."""

    nats_url: Annotated[
        Secret,
        Meta(
            description="the address of NATS, such as nats://127.0.0.1:4222, or those of a "
            "cluster's nodes, separated by commas"
        ),
    ]
    http_host: Annotated[str, Meta(description="the address to listen on")] = "127.0.0.1"
    http_port: Annotated[int, Meta(ge=0, le=65535, description="a port from 0 to 65535")] = 8080
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="debug, info, warning or error"),
    ] = "info"
    log_dir: Annotated[
        str,
        Meta(description="an existing folder that this user may write to, or leave it out"),
    ] = ""
    """Where the log is written in segments besides; empty: nowhere."""
    log_segment_bytes: Annotated[
        int, Meta(ge=4096, le=2**40, description="a number of bytes from 4096")
    ] = 16 * 2**20
    log_segment_seconds: Annotated[
        float, Meta(gt=0, le=366 * 86_400, description="a number of seconds above 0")
    ] = 86_400.0
    otel_exporter_otlp_endpoint: Annotated[
        str,
        Meta(
            pattern="^https?://[^@]+$",
            description="the address of an OpenTelemetry collector, such as "
            "http://127.0.0.1:4318, without credentials: OTEL_EXPORTER_OTLP_HEADERS has those",
        ),
    ] = ""
    """Where spans go; empty: nowhere."""
    clock: Annotated[Literal["system", "virtual"], Meta(description="system or virtual")] = "system"
    """What tells business time; `virtual` stands still until it is advanced."""
    clock_start: Annotated[
        Instant | None,
        Meta(description="an instant with its offset, such as 2026-03-01T08:00:00Z"),
    ] = None
    """Where a virtual clock begins that has never been set; else at the wall clock's instant."""


class DatabaseSettings(Settings, frozen=True, kw_only=True):
    """What a process with a schema of its own takes besides."""

    database_url: Annotated[
        Secret,
        Meta(description="the service's database, such as postgresql://player:…@127.0.0.1/forge"),
    ]


def load(settings_type: type[S], environment: Mapping[str, str]) -> S:
    """The settings in `environment`; an empty variable counts as not set.

    Raises ConfigurationError, which names every variable that is missing or wrong.
    """
    hints = get_type_hints(settings_type, include_extras=True)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(settings_type):
        variable = field.name.upper()
        text = environment.get(variable, "")
        if text:
            try:
                values[field.name] = _convert(text, hints[field.name])
            except msgspec.ValidationError as error:
                # msgspec's messages tell types and bounds, never the value.
                problems.append(f"{variable} is wrong ({error}): {_remedy(hints[field.name])}")
        elif field.required:
            problems.append(f"{variable} is not set: {_remedy(hints[field.name])}")
    for condition, other in settings_type.NEEDS:
        if _holds(condition, environment) and not environment.get(other.upper()):
            name, sign, value = condition.partition("=")
            problems.append(
                f"{other.upper()} is not set, and {name.upper()}{sign}{value} needs it: "
                f"{_remedy(hints[other])}"
            )
    if problems:
        raise ConfigurationError(tuple(problems))
    return settings_type(**values)


def _holds(condition: str, environment: Mapping[str, str]) -> bool:
    name, _, value = condition.partition("=")
    found = environment.get(name.upper(), "")
    return found == value if value else bool(found)


def _convert(text: str, hint: Any) -> Any:
    return msgspec.convert(text, hint, strict=False, dec_hook=_decode_secret)


def _decode_secret(expected: type, value: Any) -> Secret:
    if issubclass(expected, Secret):
        return expected(value)
    raise NotImplementedError(f"a setting cannot be a {expected.__name__}")


def _remedy(hint: Any) -> str:
    for extra in get_args(hint)[1:]:
        if isinstance(extra, Meta) and extra.description:
            return f"set it to {extra.description}"
    return "set it"
