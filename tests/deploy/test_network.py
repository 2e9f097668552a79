"""Network policies allow exactly what docs/operating.md tells, and both ends agree."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.deploy.manifests import OVERLAYS, Manifest, labels, of_kind, selects, workloads
from tests.markdown import table

NAME = re.compile(r"[a-z][a-z/-]+")


class Arrow(NamedTuple):
    """Who may open a connection to whom, on which port."""

    source: str
    target: str
    port: int


def pods(overlay: str) -> dict[str, dict[str, str]]:
    """The labels of each workload's pods."""
    return {
        name: labels(each)
        for name, each in (workloads(overlay) | of_kind(overlay, "Cluster")).items()
    }


def peers(overlay: str, peer: Manifest) -> list[str]:
    """The names of pods, labels of namespaces, or what is outside."""
    if "ipBlock" in peer:
        return ["outside"]
    if "namespaceSelector" in peer:
        wanted = peer["namespaceSelector"].get("matchLabels")
        assert wanted or peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
        return list(wanted) if wanted else ["DNS"]
    return [name for name, of_pod in pods(overlay).items() if selects(peer["podSelector"], of_pod)]


def arrows(overlay: str, direction: str) -> set[Arrow]:
    """What the policies of one direction, `ingress` or `egress`, let through."""
    other = "from" if direction == "ingress" else "to"
    found: set[Arrow] = set()
    for policy in of_kind(overlay, "NetworkPolicy").values():
        chosen = [
            name
            for name, of_pod in pods(overlay).items()
            if selects(policy["spec"]["podSelector"], of_pod)
        ]
        assert chosen, f"{policy['metadata']['name']} chooses nothing"
        for rule in policy["spec"].get(direction, []):
            for peer in rule[other]:
                for name in peers(overlay, peer):
                    for port in rule["ports"]:
                        ends = [(each, name) for each in chosen]
                        for own, far in ends:
                            source, target = (far, own) if direction == "ingress" else (own, far)
                            found.add(Arrow(source, target, port["port"]))
    return {each for each in found if each.target != "DNS"}


def told() -> set[Arrow]:
    """The table's rows, each pod and port by itself."""
    found: set[Arrow] = set()
    for sources, targets, ports, _ in table("docs/operating.md", "from", "to", "ports", "for"):
        found |= {
            Arrow(source, target, int(port))
            for source in NAME.findall(sources.removeprefix("namespaces "))
            for target in NAME.findall(targets)
            for port in ports.split(", ")
        }
    return found


def test_the_policies_of_all_overlays_are_the_table() -> None:
    allowed = {
        arrow
        for overlay in OVERLAYS
        for direction in ("ingress", "egress")
        for arrow in arrows(overlay, direction)
    }

    assert allowed == told()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_one_pod_may_send_the_other_may_take(overlay: str) -> None:
    names = pods(overlay).keys()
    sent, taken = (
        {each for each in arrows(overlay, way) if each.source in names and each.target in names}
        for way in ("egress", "ingress")
    )

    assert sent
    assert sent == taken


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_without_a_policy_of_its_own_is_closed(overlay: str) -> None:
    closed = of_kind(overlay, "NetworkPolicy")["closed"]["spec"]

    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
