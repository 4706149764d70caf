"""Writes `docs/licences.md`: every package that serves, with the licence that it declares."""

import json
import re
import subprocess
import sys

from packaging.utils import canonicalize_name

from tools.main_packages import ROOT, main_packages

OUTPUT = ROOT / "docs" / "licences.md"

# What older packages call them; the names are SPDX's otherwise.
OLDER = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "MIT", "MIT-CMU",
    "PSF-2.0", "Zlib",
}  # fmt: skip
# Whoever changes such a package's files has to publish these files; what merely uses it may have any licence.
BY_FILE = {"MPL-2.0"}

TEXT = """# Licences

What `tate-embeddings serve` runs with, and nothing else: the main group of `poetry.lock`, written by `make licences`
and compared by a test. `make sbom` writes the same list with the checksums of every file, in CycloneDX's form, to
`dist/sbom.cdx.json`. This project's own licence is [MIT](../LICENSE).

All are permissive but {by_file}: the MPL-2.0 asks those who change such a package's files to
publish these files. They are used unchanged, and nothing is asked of the programs that call the service.

Beside them the page's browsers get [htmx](https://htmx.org) 4.0.1 (0BSD), unchanged, from `app/gallery/static/`.

| Package | Version | Licence |
| --- | --- | --- |
{rows}
"""
ELSEWHERE = "not installed on Linux"


def document() -> str:
    """The page, by the lock and by what the installed packages declare.

    Raises:
        ValueError: a licence is neither permissive nor known to be harmless here, or isn't known.
    """
    packages = main_packages()
    declared = _declared([package["name"] for package in packages])
    for package in packages:
        if package["name"] not in declared and "markers" not in package:
            raise ValueError(f"{package['name']} isn't installed: `make install` first")
    for name, licence in declared.items():
        if unknown := terms(licence) - PERMISSIVE - BY_FILE:
            raise ValueError(f"{name}: {' and '.join(sorted(unknown))} has to be looked at")
    by_file = [name for name in sorted(declared) if terms(declared[name]) & BY_FILE]
    rows = [
        f"| {package['name']} | {package['version']} | {declared.get(package['name'], ELSEWHERE)} |"
        for package in packages
    ]
    return TEXT.format(by_file=f"{', '.join(by_file[:-1])} and {by_file[-1]}", rows="\n".join(rows))


def terms(licence: str) -> set[str]:
    """The licences in an expression."""
    return {term.strip() for term in re.split(r" AND | OR |[;()]", licence) if term.strip()}


def _declared(names: list[str]) -> dict[str, str]:
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--with-system", "--packages", *names]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {canonicalize_name(package["Name"]): _in_spdx(package["License"]) for package in found}


def _in_spdx(licence: str) -> str:
    for older, name in OLDER.items():
        licence = licence.replace(older, name)
    return licence


if __name__ == "__main__":
    OUTPUT.write_text(document(), "utf-8")
