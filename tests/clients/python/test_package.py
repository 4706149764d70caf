"""What is installed: one dependency, nothing of the service, and a README that is so."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

import tate_embeddings_client
from tests.clients.python.service import Loopback, Respond, Service
from tests.conftest import TOKEN

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "clients" / "python"
MODULES = sorted((FOLDER / "tate_embeddings_client").glob("*.py"))
README = (FOLDER / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_nothing_is_imported_but_httpx_and_what_python_has(module: Path) -> None:
    tree = ast.walk(ast.parse(module.read_text("utf-8")))
    named = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {
        name.partition(".")[0]
        for node in named
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }

    assert imported <= sys.stdlib_module_names | {"httpx", "tate_embeddings_client"}


def test_the_public_names_are_these() -> None:
    assert tate_embeddings_client.__all__ == sorted(tate_embeddings_client.__all__)
    assert all(hasattr(tate_embeddings_client, name) for name in tate_embeddings_client.__all__)
    assert set(re.findall(r"from tate_embeddings_client import (.*)", README)) == {
        "AsyncClient", "Client, EmbeddingsError", "Client, Failure", "Client, Query",
    }  # fmt: skip


def test_every_method_is_in_the_readme() -> None:
    methods = {name for name in vars(tate_embeddings_client.Client) if not name.startswith("_")} - {"close", "space"}

    assert set(re.findall(r"^\| `(\w+)\(", README, re.M)) == methods


def test_both_clients_have_the_same_methods() -> None:
    blocking, awaiting = (
        {name for name in vars(kind) if not name.startswith("__")}
        for kind in (tate_embeddings_client.Client, tate_embeddings_client.AsyncClient)
    )

    assert blocking == awaiting


def test_the_version_is_one() -> None:
    assert PROJECT["version"] == tate_embeddings_client.__version__
    assert f"## {PROJECT['version']}\n" in (FOLDER / "CHANGELOG.md").read_text("utf-8")


def test_the_licence_is_the_one_of_the_project() -> None:
    assert (FOLDER / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.S), ids=lambda text: text[:40])
def test_every_example_of_the_readme_runs(
    loopback: Callable[[Respond], Loopback],
    service: Service,
    example: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("painting.jpg").write_bytes(b"an image")
    address = loopback(service).address

    exec(example.replace("http://localhost:8002", address).replace("dev_token", TOKEN), {})

    assert bool(capsys.readouterr().out) == ("print(" in example)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert all(link.startswith("https://") or (FOLDER / link).exists() for link in links)


@pytest.mark.slow
def test_the_wheel_holds_the_client_and_needs_httpx_alone(tmp_path: Path) -> None:
    build = [sys.executable, "tools/run_poetry.py", "build", "--project", str(FOLDER), "--format", "wheel"]
    environment = {**os.environ, "POETRY_VIRTUALENVS_CREATE": "false"}  # building needs none
    subprocess.run([*build, "--output", str(tmp_path)], cwd=ROOT, env=environment, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as held:
        names = {name for name in held.namelist() if ".dist-info/" not in name}
        (metadata,) = (held.read(name).decode() for name in held.namelist() if name.endswith("/METADATA"))
    described = Parser().parsestr(metadata)
    assert names == {f"tate_embeddings_client/{path.name}" for path in MODULES} | {"tate_embeddings_client/py.typed"}
    assert (described["Name"], described["License-Expression"]) == ("tate-embeddings-client", "MIT")
    assert [need.split()[0] for need in described.get_all("Requires-Dist", [])] == ["httpx"]
    # Without what site-packages add to the path: neither the checkout nor coverage, which would measure the wheel.
    program = (
        f"import sys; sys.path += {[str(wheel), sysconfig.get_path('purelib')]}; import tate_embeddings_client.testing"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, check=True)
