"""What is shipped beside the code is known, checked, and may be used."""

import json
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version
from tools.main_packages import LOCK, main_packages

from tests.deploy.files import ROOT
from tools import write_licences, write_sbom

EVERY_PACKAGE = tomllib.loads(LOCK.read_text("utf-8"))["package"]


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of parts, as `make sbom` writes it."""
    output = tmp_path_factory.mktemp("sbom") / "made" / "sbom.cdx.json"
    write_sbom.write(output)
    return output


def test_the_list_of_parts_has_every_package_that_serves_and_no_other(sbom: Path) -> None:
    parts = json.loads(sbom.read_text())

    assert {(part["name"], part["version"]) for part in parts["components"]} == {
        (package["name"], package["version"]) for package in main_packages()
    }
    assert parts["metadata"]["component"]["name"] == "tate-embeddings"


def test_the_list_of_parts_has_a_checksum_of_every_file_that_may_be_installed(sbom: Path) -> None:
    found = {
        hashed["content"]
        for part in json.loads(sbom.read_text())["components"]
        for reference in part["externalReferences"]
        for hashed in reference.get("hashes", [])
    }

    assert found == {file["hash"].removeprefix("sha256:") for package in main_packages() for file in package["files"]}


def test_the_list_of_parts_says_what_needs_what(sbom: Path) -> None:
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in json.loads(sbom.read_text())["dependencies"]}

    assert any(part.startswith("fastapi@") for part in needs["tate-embeddings"])
    (fastapi,) = (part for part in needs if part.startswith("fastapi@"))
    assert any(part.startswith("starlette@") for part in needs[fastapi])


def test_the_same_lock_gives_the_same_list_to_the_byte(sbom: Path, tmp_path: Path) -> None:
    write_sbom.write(tmp_path / "again.json")

    assert (tmp_path / "again.json").read_bytes() == sbom.read_bytes()


def test_the_page_of_licences_is_that_of_the_lock() -> None:
    """`make licences` writes it anew after a change of the lock."""
    assert write_licences.OUTPUT.read_text("utf-8") == write_licences.document()


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", {"MIT"}), ("MPL-2.0 AND (Apache-2.0 OR MIT)", {"MPL-2.0", "Apache-2.0", "MIT"}),
     ("Apache-2.0; MIT", {"Apache-2.0", "MIT"})],
)  # fmt: skip
def test_a_licence_is_taken_apart(licence: str, expected: set[str]) -> None:
    assert write_licences.terms(licence) == expected


def test_a_licence_that_nobody_has_looked_at_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_licences, "PERMISSIVE", write_licences.PERMISSIVE - {"MIT-CMU"})

    with pytest.raises(ValueError, match="pillow: MIT-CMU has to be looked at"):
        write_licences.document()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_licences, "main_packages", lambda: [{"name": "not-there", "version": "1"}])

    with pytest.raises(ValueError, match="not-there isn't installed"):
        write_licences.document()


def test_every_file_that_is_installed_has_its_checksum_in_the_lock() -> None:
    files = [(package["name"], file) for package in EVERY_PACKAGE for file in package["files"]]

    assert {name for name, _ in files} == {package["name"] for package in EVERY_PACKAGE}
    assert not [name for name, file in files if not file["hash"].startswith("sha256:")]


def test_no_package_comes_from_elsewhere_than_the_usual_index() -> None:
    assert not [package["name"] for package in EVERY_PACKAGE if "source" in package]


def test_what_security_md_says_of_versions_is_what_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = {package["name"]: Version(package["version"]) for package in main_packages()}
    said = (ROOT / "SECURITY.md").read_text("utf-8")

    for name, floor in (("pillow", "13.0"), ("starlette", "1.0.1")):
        assert f"{name}>={floor}" in project["dependencies"]
        assert f"| {name} | {floor} |" in said.lower()
        assert locked[name] >= Version(floor)


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["cp311", "cp312", "cp313", "cp314"])
def test_every_package_that_serves_is_there_ready_made(processor: str, python: str) -> None:
    """For Linux, and each Python that the metadata allow: nothing has to be compiled."""
    for package in main_packages():
        wheels = [file["file"] for file in package["files"] if file["file"].endswith(".whl")]
        built = [name for name in wheels if f"_{processor}." in name and "linux" in name]
        assert any(name.endswith("-none-any.whl") for name in wheels) or any(
            f"-{python}-" in name or "-abi3-" in name for name in built
        ), package["name"]
