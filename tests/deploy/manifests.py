"""What kustomize makes of the overlays; `make check-deploy` builds it before it runs these."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from tests.markdown import ROOT

Manifest = dict[str, Any]
OVERLAYS = ("trial", "production")
COMPONENTS = ROOT / "deploy/k8s/components"


@cache
def built(overlay: str) -> tuple[Manifest, ...]:
    """The objects of an overlay."""
    text = (ROOT / f".venv/deploy/built/{overlay}.yaml").read_text()
    return tuple(each for each in yaml.safe_load_all(text) if each)


def of_kind(overlay: str, kind: str) -> dict[str, Manifest]:
    """By name."""
    return {each["metadata"]["name"]: each for each in built(overlay) if each["kind"] == kind}


def workloads(overlay: str) -> dict[str, Manifest]:
    """All that runs pods of ours."""
    kinds = ("Deployment", "StatefulSet", "Job")
    return {name: each for kind in kinds for name, each in of_kind(overlay, kind).items()}


def containers(workload: Manifest) -> list[Manifest]:
    """Those that prepare a pod, and those that stay."""
    pod = workload["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def labels(workload: Manifest) -> dict[str, str]:
    """Those of its pods."""
    if workload["kind"] == "Cluster":  # CloudNativePG's
        found: dict[str, str] = workload["spec"]["inheritedMetadata"]["labels"]
    else:
        found = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Manifest, of_pod: dict[str, str]) -> bool:
    """As Kubernetes decides it, for the operators that are used here."""
    wanted = selector.get("matchLabels", {})
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if of_pod.get(expression["key"]) not in expression["values"]:
            return False
    return all(of_pod.get(key) == value for key, value in wanted.items())
