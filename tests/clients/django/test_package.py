"""What is installed: Django, our client and nothing else, and a README that is so."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from typing import Any
from unittest import mock
from zipfile import ZipFile

import pytest
from django.core.management import load_command_class
from django.test.utils import isolate_apps

import tate_embeddings_django
from tate_embeddings_django import conf
from tests.clients.django.gallery.models import Artwork
from tests.clients.python.service import Loopback, Respond, Service
from tests.conftest import TOKEN
from tests.search.elasticsearch.stand_in import standing_in

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "clients" / "django"
PACKAGE = FOLDER / "tate_embeddings_django"
MODULES = sorted(PACKAGE.rglob("*.py"))
README = (FOLDER / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
RUNNING_S = 120

# Of packages that need not be there, and what may import them.
OPTIONAL = {
    "pgvector": {"pgvector.py", "backends/pgvector.py"},
    "elasticsearch": {"vector_index.py", "backends/elasticsearch.py", "management/commands/rebuild_vector_index.py"},
    "numpy": {"backends/exact.py"},
}
SITE = """
from pathlib import Path

SECRET_KEY = "no secret"
ROOT_URLCONF = "urls"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}}}
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["."]}}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_URL = "https://media.example.org/"
INSTALLED_APPS = ["gallery"]
{block}
EMBEDDINGS |= {{"BACKEND": "elasticsearch", "ELASTICSEARCH_URL": "http://127.0.0.1:{port}"}}
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""
HANG = """
from gallery.models import Artwork
for number in range(3):
    Artwork.objects.create(title=f"Artwork {number}", year=1840, image=f"{number}.jpg")
"""
LOOK = """
from django.test import Client
print(Client(SERVER_NAME="localhost").get("/", {"q": "a sea"}).content.decode())
"""


def block(start: str) -> str:
    """The block of the README that begins so."""
    return next(text for _, text in BLOCKS if text.startswith(start))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_but_what_is_needed(module: Path) -> None:
    named = [node for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Import)]
    imported = {each.name.partition(".")[0] for node in named for each in node.names}
    imported |= {
        (node.module or "").partition(".")[0]
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    there = sys.stdlib_module_names | {"django", "tate_embeddings_client", "tate_embeddings_django"}

    assert imported - there == {name for name in OPTIONAL if str(module.relative_to(PACKAGE)) in OPTIONAL[name]}


def test_the_version_is_one() -> None:
    assert PROJECT["version"] == tate_embeddings_django.__version__
    assert f"## {PROJECT['version']}\n" in (FOLDER / "CHANGELOG.md").read_text("utf-8")


def test_the_licence_is_the_one_of_the_project() -> None:
    assert (FOLDER / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)

    assert links
    assert all(link.startswith("https://") or (FOLDER / link).exists() for link in links)


def test_every_key_of_the_setting_is_in_the_readme_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", README.partition("## Each night")[0], re.M))
    now = conf.Embeddings()

    assert list(rows) == list(conf.KEYS)
    for key, said in rows.items():
        default = getattr(now, key.lower())
        if key.startswith("SERVICE_"):
            assert said == f"`EMBEDDINGS_{key}` of the environment"
        else:
            assert said.strip("`").replace('"', "'").startswith(repr(default).replace('"', "'"))


@pytest.mark.parametrize("name", ["update_embeddings", "rebuild_vector_index"])
def test_every_option_is_in_the_readme(name: str) -> None:
    parser = load_command_class("tate_embeddings_django", name).create_parser("manage.py", name)
    own = set(re.findall(r"--[a-z-]+", parser.format_help())) - {"--skip-checks"}
    own -= set(re.findall(r"--[a-z-]+", load_command_class("django.core", "check").create_parser("", "").format_help()))

    assert own <= set(re.findall(r"--[a-z-]+", README))


def test_every_check_is_tested() -> None:
    numbers = set(re.findall(r'"([EI]\d{3})"|tate_embeddings\.([EI]\d{3})', (PACKAGE / "checks.py").read_text("utf-8")))
    tested = (Path(__file__).parent / "test_checks.py").read_text("utf-8")

    assert len(numbers) > 10
    assert all((one or other) in tested for one, other in numbers)


@isolate_apps("tests.clients.django.gallery")
def test_the_readmes_model_for_pgvector_is_one() -> None:
    (text,) = [text for _, text in BLOCKS if "HnswIndex" in text]

    names: dict[str, Any] = {"__name__": "tests.clients.django.gallery.models"}
    exec(text, names)

    assert names["Artwork"]._meta.get_field("image_vector").dimensions == 512


def test_the_readmes_test_runs(site: Callable[..., None]) -> None:
    exec(block("from unittest import mock"), {"Artwork": Artwork, "mock": mock})


@pytest.mark.slow
def test_a_site_that_is_made_as_the_readme_says_finds_its_pictures(
    loopback: Callable[[Respond], Loopback], tmp_path: Path
) -> None:
    address = loopback(Service()).address
    with standing_in() as stand_in:
        setting = block("# settings.py").replace("https://embeddings.example.org", address)
        setting = setting.replace("one of the service's AUTH_TOKENs", TOKEN)
        files = {
            "settings.py": SITE.format(block=setting, port=stand_in.port),
            "manage.py": MANAGE,
            "urls.py": "import views\nfrom django.urls import path\nurlpatterns = [path('', views.search)]\n",
            "views.py": block("# views.py"),
            "search.html": block("<!-- search.html -->"),
            "gallery/__init__.py": "",
            "gallery/models.py": block("# models.py"),
        }
        (tmp_path / "gallery").mkdir()
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        manage = [f"python manage.py {command}" for command in ("makemigrations gallery", "migrate", "check")]
        commands = [text for language, text in BLOCKS if language == "sh" and "manage.py" in text]
        script = "\n".join([*manage, f"python manage.py shell -c '{HANG}'", *commands])
        printed = run(script.replace("https://new-embeddings.example.org", address), tmp_path)
        page = run(f"python manage.py shell -c '{LOOK}'", tmp_path)

    assert "System check identified no issues" in printed
    assert "gallery.Artwork: 3 rows, 3 vectors made, 0 failed" in printed
    assert "gallery.Artwork: 3 vectors in artworks-vectors-gallery-artwork-" in printed
    assert len(re.findall(r'<img src="https://media\.example\.org/\d\.jpg"', page)) == 3


@pytest.mark.slow
def test_the_wheel_holds_the_app_and_says_what_it_needs(tmp_path: Path) -> None:
    build = [sys.executable, "tools/run_poetry.py", "build", "--project", str(FOLDER), "--format", "wheel"]
    environment = {**os.environ, "POETRY_VIRTUALENVS_CREATE": "false"}  # building needs none
    subprocess.run([*build, "--output", str(tmp_path)], cwd=ROOT, env=environment, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as held:
        names = {name for name in held.namelist() if ".dist-info/" not in name}
        (metadata,) = (held.read(name).decode() for name in held.namelist() if name.endswith("/METADATA"))
    described = Parser().parsestr(metadata)
    wanted = {str(path.relative_to(FOLDER)) for path in MODULES} | {"tate_embeddings_django/py.typed"}
    assert names == wanted
    assert (described["Name"], described["License-Expression"]) == ("django-tate-embeddings", "MIT")
    needs = [need.partition(";")[0].split()[0] for need in described.get_all("Requires-Dist", [])]
    assert sorted(needs) == ["django", "elasticsearch", "pgvector", "tate-embeddings-client"]


def run(script: str, folder: Path) -> str:
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(FOLDER), str(ROOT / "clients" / "python")]),
    }
    without = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "EMBEDDINGS_"))}
    done = subprocess.run(
        ["sh", "-c", f"set -eu\n{script}"],
        cwd=folder,
        env=without | environment,
        capture_output=True,
        text=True,
        timeout=RUNNING_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
