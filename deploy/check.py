"""`make check-deploy`: builds and checks all that is deployed, without a cluster or Docker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from deploy.tools import HERE, ToolMissing, kubectl, promtool

BIN = HERE / "bin"
BUILT = HERE / "built"
"""What kustomize made, for tests/deploy."""
EXTENSIONS = ("keda.sh/", "monitoring.coreos.com/", "postgresql.cnpg.io/")
"""API groups of operators, whose schemas no version of Kubernetes has."""

VERSIONS = {
    "trial": ("1.20", "1.22", "1.24", "1.28", "1.33", "1.37"),
    "production": ("1.25", "1.28", "1.31", "1.34", "1.37"),
}
OLDER = ("1.20", "1.22", "1.24")
"""Those whose schemas are in .venv/deploy/data."""


class CheckFailed(Exception):
    """A tool is not content; it has said why."""


def main() -> None:
    """Runs all checks, each on what the one before it made; ends with the first that fails."""
    BUILT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree("deploy", copy / "deploy", ignore=shutil.ignore_patterns("secrets"))
        overlays = copy / "deploy/k8s/overlays"
        run(sys.executable, "deploy/make_secrets.py", overlays / "trial/secrets")
        for overlay, versions in VERSIONS.items():
            built = BUILT / f"{overlay}.yaml"
            built.write_text(run(kubectl(), "kustomize", overlays / overlay))
            for version in versions:
                validate(built, version)
            run(BIN / "checkov", "--config-file", "deploy/checkov.yaml", "-f", built)
            print(
                f"{overlay}: builds, is valid for Kubernetes {', '.join(versions)}, passes policy"
            )
        check_rules(copy)
    for file in ("Dockerfile", "deploy/servers.Dockerfile"):
        run(BIN / "checkov", "--config-file", "deploy/checkov.yaml", "-f", file)
        run(BIN / "hadolint", file)
        print(f"{file}: passes policy and hadolint")


def validate(built: Path, version: str) -> None:
    """Strictly, against the schemas of one version of Kubernetes."""
    documents = [each for each in yaml.safe_load_all(built.read_text()) if each]
    own = [each for each in documents if not each["apiVersion"].startswith(EXTENSIONS)]
    known = built.with_suffix(".own.yaml")
    known.write_text(yaml.safe_dump_all(own))
    older = {"PYTHONPATH": str(HERE / "data")} if version in OLDER else {}
    # A resource that a version does not know is a warning otherwise.
    told = run(
        *(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", f"{version}.0", known),
        environment=older,
    )
    if (passed := told.count(" passed for resource ")) != len(own):
        sys.stderr.write(told)
        raise CheckFailed(f"only {passed} of {len(own)} objects are valid for {version}")


def check_rules(folder: Path) -> None:
    """The alerts as Prometheus reads them, and what they say of given series."""
    source = folder / "deploy/k8s/components/prometheus"
    rules = yaml.safe_load((source / "alerts.yaml").read_text())
    (source / "rules.yaml").write_text(json.dumps(rules["spec"]))  # JSON is YAML
    run(promtool(), "check", "rules", source / "rules.yaml")
    run(promtool(), "test", "rules", source / "alerts.test.yaml")
    print("alerts: are understood and fire as their tests say")


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """What a tool tells. Raises CheckFailed, once that is shown, where it ends with an error."""
    done = subprocess.run(
        [str(each) for each in command],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise CheckFailed(f"{Path(command[0]).name} ended with code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    try:
        main()
    except (CheckFailed, ToolMissing) as problem:
        sys.exit(f"check-deploy: {problem}")
