"""`promtool`, which reads rules and expressions as Prometheus does."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunPromtool = Callable[..., str]


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> RunPromtool:
    """Runs promtool with some arguments and gives what it says, or fails with that."""
    found = shutil.which("promtool") or _fetched(tmp_path_factory.mktemp("promtool"))

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([found, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def _fetched(folder: Path) -> str:
    """Out of Debian's package, which isn't installed for that: nobody has to be root."""
    if shutil.which("apt-get") and shutil.which("dpkg"):
        for place in ("lists/partial", "cache/archives/partial"):
            (folder / place).mkdir(parents=True)
        own = [f"-oDir::State::Lists={folder}/lists", f"-oDir::Cache={folder}/cache", "-oDebug::NoLocking=1"]
        for command in (["update"], ["download", "prometheus"]):
            subprocess.run(["apt-get", *own, *command], cwd=folder, check=False)
        for package in folder.glob("prometheus_*.deb"):
            subprocess.run(["dpkg", "--extract", package, folder / "prometheus"], check=False)
    found = folder / "prometheus" / "usr" / "bin" / "promtool"
    if not found.is_file():
        pytest.fail("promtool is needed: install Debian's package `prometheus`, or put promtool on PATH", pytrace=False)
    return str(found)
