"""`promtool`, which reads rules and expressions as Prometheus does."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunPromtool = Callable[..., str]


@pytest.fixture(scope="session")
def promtool() -> RunPromtool:
    """Runs promtool with some arguments and gives what it says, or fails with that."""
    found = shutil.which("promtool") or _installed()

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([found, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def _installed() -> str:
    """Debian's, where we may install it."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "prometheus"]):
            subprocess.run(["apt-get", *command], env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, check=False)
    found = shutil.which("promtool")
    if not found:
        pytest.fail("promtool is needed: install Debian's package `prometheus`, or put promtool on PATH", pytrace=False)
    return found
