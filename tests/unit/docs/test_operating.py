"""docs/operating.md names the variables and metrics that there are, with their defaults."""

from __future__ import annotations

from itertools import chain

import msgspec
import pytest
from prometheus_client import Counter, Gauge, Histogram

from services.billing.config import BillingSettings
from services.gateway import metrics as of_gateway
from services.gateway.config import GatewaySettings
from services.maintenance.config import MaintenanceSettings
from services.player.config import PlayerSettings
from services.stack.processes import SERVICES
from shared.jetstream.authorization import variable
from shared.jetstream.rights import MAINTENANCE, beside_a_service, users
from shared.runtime import metrics as of_services
from shared.runtime import service, standing
from shared.runtime.config import Settings
from shared.runtime.definition import ServiceSettings
from shared.runtime.embedded import nats
from tests.markdown import read, table

PAGE = "docs/operating.md"


OF_SERVICES: dict[str, type[Settings]] = {
    "player": PlayerSettings,
    "billing": BillingSettings,
    "maintenance": MaintenanceSettings,
}


def variables(settings: type[Settings]) -> dict[str, str]:
    """Its variables with their defaults."""
    return {
        field.name.upper(): "required" if field.required else str(field.default)
        for field in msgspec.structs.fields(settings)
    }


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        ("every service", variables(ServiceSettings)),
        ("gateway", variables(GatewaySettings)),
        *(
            (f"{name} service", dict(variables(own).items() - variables(ServiceSettings).items()))
            for name, own in OF_SERVICES.items()
        ),
    ],
)
def test_every_variable_is_told_with_its_default(process: str, expected: dict[str, str]) -> None:
    documented = {row[0]: row[1] for row in table(PAGE, process, "default", "what")}
    assert documented == expected


def test_the_settings_of_every_service_are_told() -> None:
    assert {each.name for each in SERVICES if each.has_database} == OF_SERVICES.keys()


def test_every_port_of_the_one_machine_stack_can_be_fixed_as_told() -> None:
    for name in ("nats", "postgres", *(each.name for each in SERVICES)):
        assert f"`{name.upper()}_PORT`" in read(PAGE)


def test_every_metric_is_told() -> None:
    documented = {row[0] for row in table(PAGE, "metric", "process", "labels")}
    metrics = [
        metric
        for metric in chain(vars(of_services).values(), vars(of_gateway).values())
        if isinstance(metric, Counter | Gauge | Histogram)
    ]
    names = {
        f"{described.name}_total" if described.type == "counter" else described.name
        for metric in metrics
        for described in metric.describe()
    }
    assert documented == names


def test_the_figures_are_those_of_the_code() -> None:
    page = read(PAGE)
    beside_the_steps = (
        service.UPKEEP_CONNECTIONS + service.REQUEST_CONNECTIONS + standing.INGEST_WORKERS
    )
    assert f"`WORKERS` + `WAKE_WORKERS` + {beside_the_steps} connections" in page
    assert f"`max_payload: {nats.MAX_PAYLOAD_BYTES // 2**20}MB`" in page


def test_every_nats_user_is_told_with_its_rights() -> None:
    expected = [
        (user.name, right.purpose, "`, `".join(right.publish), "`, `".join(right.subscribe))
        for user in users({"<service>": ["<kind>"]})
        for right in user.rights
    ]
    expected += [
        (MAINTENANCE, right.purpose, "`, `".join(right.publish), "`, `".join(right.subscribe))
        for right in beside_a_service({"<service>": ["<kind>"]})
    ]
    assert table(PAGE, "user", "in order to", "publishes", "subscribes to") == expected
    assert f"`{variable('player').removeprefix('$')}`" in read(PAGE)
