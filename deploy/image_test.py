"""`make image-test`: builds the image, runs all of it by Compose, kills containers, loses nothing.

Needs a Docker daemon with BuildKit and Compose (`docker compose` or `docker-compose`); DOCKER names
another `docker`. BASE_IMAGE is what is built upon; without it a root of Debian is made by
debootstrap, as root. A daemon without a default bridge will do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DOCKER = os.environ.get("DOCKER", "docker")
BASE = "padawanforge-base:local"
IMAGE = "padawanforge-workflows:local"
PROJECT = "padawanforge-image-test"
PORT = os.environ.get("GATEWAY_PORT", "18080")
PACKAGES = "python3.11,python3.11-venv,python3-distutils,ca-certificates,netbase,tzdata"
KILLED = ("player", "nats", "postgres", "gateway")
PLAYERS_PER_KILL = 20
PATIENCE_SECONDS = 180
OUTCOME = {"xp": 2710, "level": 6}
"""Of 2500 xp and level 4, once: 10 for the day, 100 for each of two levels."""


class Failed(Exception):
    """It does not work; the message says what."""


def main() -> None:
    """All of it; what was started is taken away again, whatever comes."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        base = os.environ.get("BASE_IMAGE") or make_base(copy / "root")
        build("Dockerfile", IMAGE, base)
        for server in ("nats", "postgres"):
            tag = f"padawanforge-{server}:local"
            build("deploy/servers.Dockerfile", tag, base, "--target", server)
        # A copy, since Compose reads its secrets from beside its file.
        shutil.copytree("deploy", copy / "deploy", ignore=shutil.ignore_patterns("secrets"))
        run(sys.executable, "deploy/make_secrets.py", copy / "deploy/secrets")
        compose = Compose(copy / "deploy")
        try:
            compose("up", "-d")
            say(started, "all is up")
            Stack(copy / "deploy/secrets/gateway.env").lose_nothing(compose, started)
        except Failed:
            sys.stderr.write(compose("logs", "--tail", "30"))
            raise
        finally:
            compose("down", "--volumes", "--timeout", "30")
    say(started, "all is taken away again")


class Compose:
    """The project of this test."""

    def __init__(self, folder: Path) -> None:
        modern = subprocess.run([DOCKER, "compose", "version"], capture_output=True, check=False)
        self._command = [DOCKER, "compose"] if modern.returncode == 0 else ["docker-compose"]
        files = [f"--file={folder / name}" for name in ("compose.yaml", "compose.local.yaml")]
        self._command += [f"--project-name={PROJECT}", *files]

    def __call__(self, *arguments: str) -> str:
        return run(*self._command, *arguments, IMAGE=IMAGE, GATEWAY_PORT=PORT)


class Stack:
    """The system as its callers see it."""

    def __init__(self, secrets: Path) -> None:
        variables = dict(line.split("=", 1) for line in secrets.read_text().splitlines())
        self._key = variables["API_KEY"]

    def lose_nothing(self, compose: Compose, started: float) -> None:
        """Every accepted workflow completes once, though what it needs is killed."""
        accepted: list[str] = []
        for killed in KILLED:
            players = [
                f"00000000-0000-4000-8000-{len(accepted) + n:012}" for n in range(PLAYERS_PER_KILL)
            ]
            for player in players:
                opening = {"xp": 2500, "level": 4}
                self._until_taken("/api/players", {"id": player, "opening": opening})
                self._until_taken("/api/workflows/player", {"id": player, "playerId": player})
            compose("kill", killed)
            say(started, f"{killed} is killed")
            # A container that was killed by hand is not started again by its policy.
            compose("up", "-d")
            accepted += players
        for player in accepted:
            self._until_done(player)
        say(started, f"{len(accepted)} workflows are complete, each once")

    def _until_taken(self, path: str, body: dict[str, Any]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := self._ask(path, body))[0] not in {200, 201, 202, 409}:
            if time.monotonic() > deadline:
                raise Failed(f"{path} is not taken: {answer}")
            time.sleep(0.2)

    def _until_done(self, player: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (status := self._ask(f"/api/workflows/{player}"))[1].get("status") != "complete":
            if status[1].get("status") in {"errored", "terminated"} or time.monotonic() > deadline:
                raise Failed(f"{player} is not complete: {status}")
            time.sleep(0.2)
        progress = self._ask(f"/api/players/{player}/progress")[1]
        if {name: progress.get(name) for name in OUTCOME} != OUTCOME:
            raise Failed(f"{player} did not get {OUTCOME} once: {progress}")

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer; 0 where nobody listens."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"{}")
        except (OSError, urllib.error.URLError) as error:
            return 0, {"error": str(error)}


def make_base(root: Path) -> str:
    """An image of Debian with Python, for where no registry can be reached."""
    if os.geteuid() or not shutil.which("debootstrap"):
        raise Failed("set BASE_IMAGE to an image with Python 3.11, or install debootstrap, as root")
    started = time.monotonic()
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root)
    (root / "usr/bin/python").symlink_to("python3")
    # What this machine trusts, such as the proxy through which it reaches packages.
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    archive = root.with_suffix(".tar")
    exclude = [f"--exclude=./{each}" for each in ("proc/*", "sys/*", "dev/*", "var/cache/apt/*")]
    run("tar", "-C", root, "-cf", archive, *exclude, ".")
    run(DOCKER, "import", archive, BASE)
    say(started, f"{BASE} is made: {size(BASE)}")
    return BASE


def build(file: str, tag: str, base: str, *arguments: str) -> None:
    """One image, with the network of the host, which there always is."""
    started = time.monotonic()
    options = ("--network=host", f"--build-arg=BASE_IMAGE={base}", f"--tag={tag}", f"--file={file}")
    run(DOCKER, "build", *options, *arguments, ".", DOCKER_BUILDKIT="1")
    say(started, f"{tag} is built: {size(tag)}")


def size(image: str) -> str:
    """In megabytes, with all layers."""
    told = run(DOCKER, "image", "inspect", "--format={{.Size}}", image)
    return f"{int(told) / 1e6:.0f} MB"


def run(*command: str | Path, **environment: str) -> str:
    """What a command tells. Raises Failed with all of that where it ends with an error."""
    try:
        done = subprocess.run(
            [str(each) for each in command],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failed(f"{command[0]} is missing: install it") from error
    if done.returncode:
        told = (done.stdout + done.stderr)[-4000:]
        raise Failed(f"{' '.join(map(str, command))} failed:\n{told}")
    return done.stdout


def say(started: float, sentence: str) -> None:
    """With the seconds since then."""
    print(f"{time.monotonic() - started:6.1f} s  {sentence}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failed as problem:
        sys.exit(f"image-test: {problem}")
