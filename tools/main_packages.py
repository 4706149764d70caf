"""Which packages serve, as `poetry.lock` has them: those of the main group, on all platforms together."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "poetry.lock"


def main_packages() -> list[dict[str, Any]]:
    """The lock's entries, by name."""
    packages = tomllib.loads(LOCK.read_text("utf-8"))["package"]
    return sorted((package for package in packages if "main" in package["groups"]), key=lambda package: package["name"])
