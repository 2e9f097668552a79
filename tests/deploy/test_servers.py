"""NATS, scaling and alerts as they are deployed agree with the code and the runbook."""

from __future__ import annotations

import re

import yaml
from typer.testing import CliRunner

from services.__main__ import app
from shared.jetstream.topology import consumers, kinds_by_service
from tests.deploy.manifests import COMPONENTS, of_kind
from tests.markdown import table

PAGE = "docs/operating.md"
METRIC = re.compile(r"\b([a-z][a-z_]+)(?:\{|\[|\))")
FUNCTIONS = {"sum", "rate", "increase", "max", "min", "by", "min_over_time"}
OF_PROMETHEUS = {"up"}
ALERTS = yaml.safe_load((COMPONENTS / "prometheus/alerts.yaml").read_text())["spec"]["groups"][0]
TESTS = yaml.safe_load((COMPONENTS / "prometheus/alerts.test.yaml").read_text())["tests"]


def test_the_users_of_nats_are_those_that_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["nats-users"]).output

    assert (COMPONENTS / "nats/users.conf").read_text() == printed


def test_what_scales_a_service_are_its_own_starts_and_wakes() -> None:
    scaled = of_kind("production", "ScaledObject")
    assert scaled.keys() == kinds_by_service().keys()
    for name, each in scaled.items():
        looked_at = [
            (trigger["metadata"]["stream"], trigger["metadata"]["consumer"])
            for trigger in each["spec"]["triggers"]
        ]
        known = {
            (stream, config.durable_name)
            for stream, config in consumers(name, kinds_by_service()[name])
        }
        assert looked_at == [
            (f"WORKFLOWS_{name.upper()}", f"{name}-{of}") for of in ("starts", "wakes")
        ]
        assert set(looked_at) <= known


def test_the_runbook_has_each_alert_and_no_other() -> None:
    alerts = [rule["alert"] for rule in ALERTS["rules"]]

    assert [row[0] for row in table(PAGE, "alert", "means", "what to do")] == alerts


def test_each_alert_is_seen_to_fire() -> None:
    fired = {
        case["alertname"]
        for each in TESTS
        for case in each["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in ALERTS["rules"]}


def test_alerts_look_at_metrics_that_exist() -> None:
    known = {row[0] for row in table(PAGE, "metric", "process", "labels")} | OF_PROMETHEUS
    for rule in ALERTS["rules"]:
        used = set(METRIC.findall(rule["expr"])) - FUNCTIONS
        used = {name for name in used if not re.search(rf"by \([^)]*\b{name}\b", rule["expr"])}
        assert used, rule["alert"]
        assert used <= known, rule["alert"]
