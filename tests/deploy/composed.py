"""`deploy/compose.yaml` without Docker: its services as processes of this machine, by what the file says of each.

A container's paths become paths below a folder, its ports free ones of loopback, its name 127.0.0.1. Commands, health
checks, variables and who waits for whom are the file's. That a folder is mounted read-only is not imitated.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.conftest import unused_port
from tests.deploy.files import DEPLOY, DOCKERFILE, ROOT, read

SERVICES: dict[str, Any] = {
    name: service for name, service in read(DEPLOY / "compose.yaml")["services"].items() if "profiles" not in service
}
# What the image starts if a service says nothing else.
USUAL_COMMAND = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.M)[-1])
PROGRAMS = {"python": [sys.executable], "tate-embeddings": [sys.executable, "-m", "app.cli"]}

STARTING_S = 120
STOPPING_S = 40
PACE_S = 0.1


def mounts(service: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Where something is mounted in a container, by what it is, and whether it is for reading only."""
    found = {}
    for volume in service.get("volumes", ()):
        if isinstance(volume, str):
            source, target, *mode = volume.split(":")
            found[source] = target, mode == ["ro"]
        else:
            found[volume["source"]] = volume["target"], volume.get("read_only", False)
    return found


class Composed:
    """The services, for use in a `with`, at whose end all are stopped."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        """Services whose paths lie below a folder; the variables are those of `.env`."""
        self._variables = variables
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        published = [port.split(":")[-1] for service in SERVICES.values() for port in service.get("ports", ())]
        self._ports = {port: str(unused_port()) for port in published}
        targets = {target for service in SERVICES.values() for target, _ in mounts(service).values()}
        # What the image holds there isn't here either.
        self._paths = {target: str(folder) + target for target in targets | {"/models"}}
        self._paths["/lists"] = self._filled_in(SERVICES["downloader"]["volumes"][0]["source"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def url(self, name: str) -> str:
        """Where a service is called."""
        return f"http://127.0.0.1:{self._ports[SERVICES[name]['environment']['PORT']]}"

    def path(self, path: str) -> Path:
        """Where a container's path is here."""
        return Path(self._here(path))

    def up(self, *names: str) -> None:
        """Start services as `docker compose up` does: those they depend on before them."""
        for name in names:
            for other, needed in SERVICES[name].get("depends_on", {}).items():
                self.up(other)
                if needed["condition"] == "service_healthy":
                    self.until_healthy(other)
            if name not in self._processes:
                with (self._folder / f"{name}.log").open("ab") as log:
                    self._processes[name] = subprocess.Popen(
                        self._command(SERVICES[name].get("command", USUAL_COMMAND)),
                        env=self._environment(name),
                        cwd=self._folder,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )

    def healthy(self, name: str) -> bool:
        """Whether a service is, by its own check."""
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self._command(command), env=self._environment(name), cwd=self._folder, capture_output=True, text=True
        )
        return done.returncode == 0

    def until_healthy(self, name: str) -> None:
        """Wait for a service."""
        deadline = time.monotonic() + STARTING_S
        pace = threading.Event()
        while not self.healthy(name):
            assert self._processes[name].poll() is None, f"{name} has ended: {self.log(name)}"
            assert time.monotonic() < deadline, f"{name} isn't healthy: {self.log(name)}"
            pace.wait(PACE_S)

    def down(self) -> dict[str, int]:
        """Stop what runs with SIGTERM; how each service ended."""
        for process in self._processes.values():
            process.terminate()
        try:
            return {name: process.wait(STOPPING_S) for name, process in self._processes.items()}
        finally:
            for process in self._processes.values():
                process.kill()
            self._processes.clear()

    def log(self, name: str) -> str:
        """What a service has said."""
        return (self._folder / f"{name}.log").read_text()

    def _command(self, words: Sequence[str]) -> list[str]:
        program, *arguments = words
        return PROGRAMS[program] + [self._here(self._filled_in(word)) for word in arguments]

    def _environment(self, name: str) -> dict[str, str]:
        said = {key: self._here(value) for key, value in SERVICES[name].get("environment", {}).items()}
        if "PORT" in said:
            said |= {"HOST": "127.0.0.1", "PORT": self._ports[said["PORT"]]}
        # This checkout's code, whatever is installed.
        return {**os.environ, "PYTHONPATH": str(ROOT), **self._variables, **said}

    def _filled_in(self, text: str) -> str:
        """With variables in the place of their names, which all have defaults."""
        return re.sub(r"\$\{(\w+):-(.*?)\}", lambda found: self._variables.get(found[1]) or found[2], text)

    def _here(self, text: str) -> str:
        hosts = "|".join(["127.0.0.1", *SERVICES])
        text = re.sub(rf"//({hosts}):(\d+)", lambda found: f"//127.0.0.1:{self._ports[found[2]]}", text)
        targets = "|".join(map(re.escape, self._paths))
        return re.sub(rf"({targets})(?![\w-])", lambda found: self._paths[found[1]], text)
