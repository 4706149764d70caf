"""Writes `dist/sbom.cdx.json`: what serves, by the lock, in CycloneDX's form. The same lock gives the same bytes."""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from tools.main_packages import LOCK, ROOT

OUTPUT = ROOT / "dist" / "sbom.cdx.json"


def write(output: Path) -> None:
    """Write it to a file, whose folder is made if it's missing."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / LOCK.name).write_bytes(LOCK.read_bytes())
        (Path(folder) / "pyproject.toml").write_text(_as_poetry_1_wrote_it(), "utf-8")
        command = [sys.executable, "-m", "cyclonedx_py", "poetry", "--only", "main", "--output-reproducible"]
        # Its own check against the schema takes 40 seconds.
        subprocess.run([*command, "--no-validate", "--output-file", output.resolve(), folder], check=True)


def _as_poetry_1_wrote_it() -> str:
    """The project and the names of its packages; cyclonedx-py doesn't look for them below `[project]` yet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [Requirement(dependency).name for dependency in project["dependencies"]]
    described = [f"{key} = {json.dumps(project[key])}" for key in ("name", "version", "description", "license")]
    return "\n".join(["[tool.poetry]", *described, "[tool.poetry.dependencies]", *(f'{name} = "*"' for name in names)])


if __name__ == "__main__":
    write(OUTPUT)
