"""Manifests agree with the code: services, ports, probes, settings, drain."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from services.gateway.config import GatewaySettings
from services.stack.processes import SERVICES
from shared.runtime.config import Settings
from tests.deploy.manifests import (
    OVERLAYS,
    Manifest,
    containers,
    labels,
    of_kind,
    selects,
    workloads,
)
from tests.markdown import ROOT
from tests.unit.docs.test_operating import OF_SERVICES

SETTINGS: dict[str, type[Settings]] = {**OF_SERVICES, "gateway": GatewaySettings}
WITH_SCHEMA = [each.name for each in SERVICES if each.has_database]


def variables(*processes: str) -> set[str]:
    return {
        field.name.upper() for name in processes for field in msgspec.structs.fields(SETTINGS[name])
    }


def process(overlay: str, name: str) -> Manifest:
    found: list[Manifest] = of_kind(overlay, "Deployment")[name]["spec"]["template"]["spec"][
        "containers"
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_process_is_deployed_and_each_schema_migrated(overlay: str) -> None:
    assert of_kind(overlay, "Deployment").keys() == {each.name for each in SERVICES}
    for each in SERVICES:
        assert process(overlay, each.name)["command"] == ["python", "-m", each.module]
    migrating = containers(of_kind(overlay, "Job")["migrate"])
    assert [each["command"] for each in migrating] == [
        ["padawanforge", "migrate", name] for name in WITH_SCHEMA
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_service_waits_for_its_own_migration(overlay: str) -> None:
    for name, deployment in of_kind(overlay, "Deployment").items():
        waiting = [each["command"][2:4] for each in containers(deployment)[:-1]]
        assert waiting == ([[name, "--wait-seconds"]] if name in WITH_SCHEMA else [])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_that_is_set_is_a_setting(overlay: str) -> None:
    (settings,) = (
        each["data"]
        for name, each in of_kind(overlay, "ConfigMap").items()
        if name.startswith("settings")
    )
    assert settings.keys() <= variables(*SETTINGS)
    for name in SETTINGS:
        own = {each["name"] for each in process(overlay, name).get("env", [])}
        assert own - {"SSL_CERT_FILE"} <= variables(name)


def test_every_secret_of_a_trial_is_a_setting_and_none_that_is_needed_is_missing() -> None:
    for name, secret in of_kind("trial", "Secret").items():
        owner = name.rsplit("-", 1)[0]
        if owner in SETTINGS:
            given = secret["data"].keys()
            needed = {
                field.name.upper()
                for field in msgspec.structs.fields(SETTINGS[owner])
                if field.required
            }
            assert needed <= given <= variables(owner)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_process_listens_where_its_probes_and_its_service_look(overlay: str) -> None:
    for name in SETTINGS:
        found = process(overlay, name)
        assert found["ports"] == [{"name": "http", "containerPort": 8080}]
        paths = {
            each: found[each]["httpGet"]["path"]
            for each in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert paths == {
            "startupProbe": "/startupz",
            "readinessProbe": "/readyz",
            "livenessProbe": "/healthz",
        }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_pods_and_ports_are_those_of_their_containers(overlay: str) -> None:
    found = workloads(overlay)
    for name, each in found.items():
        if each["kind"] != "Job":
            assert selects(each["spec"]["selector"], labels(each)), name
    for name, service in of_kind(overlay, "Service").items():
        wanted = {"matchLabels": service["spec"]["selector"]}
        chosen = [each for each in found.values() if selects(wanted, labels(each))]
        assert len(chosen) == 1, name
        open_ports = {
            port["name"] for each in containers(chosen[0]) for port in each.get("ports", [])
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= open_ports
    for name, budget in of_kind(overlay, "PodDisruptionBudget").items():
        assert selects(budget["spec"]["selector"], labels(found[name]))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_given_longer_than_it_drains(overlay: str) -> None:
    for name, deployment in of_kind(overlay, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        (_, pause) = process(overlay, name)["lifecycle"]["preStop"]["exec"]["command"]
        drain = msgspec.structs.fields(SETTINGS[name])
        (seconds,) = (each.default for each in drain if each.name == "drain_seconds")
        assert pod["terminationGracePeriodSeconds"] >= int(pause) + seconds + 10


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_has_a_token_or_may_write_to_its_root(overlay: str) -> None:
    for workload in workloads(overlay).values():
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for each in containers(workload):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True


def test_compose_runs_the_same_processes_with_settings_that_exist() -> None:
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    for each in SERVICES:
        found = services[each.name]
        assert found["command"] == ["python", "-m", each.module]
        assert found["env_file"] == [f"secrets/{each.name}.env"]
        assert found.get("environment", {}).keys() <= variables(each.name)
    assert services.keys() == {
        *(each.name for each in SERVICES),
        *(f"migrate-{name}" for name in WITH_SCHEMA),
        "nats",
        "postgres",
    }
