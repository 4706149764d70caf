"""Every example of the documents, run as it is printed, gives what is printed below it."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.callers.conftest import Instance, RunNode
from tests.search.stores import postgresql
from tests.test_endpoints import painting

DOCS = Path(__file__).parents[2] / "docs"
STAND_IN = Path(__file__).parent / "curl.py"
BLOCKS = re.compile(r"^## (?P<heading>.+?)$|^```(?P<language>\w+)\n(?P<content>.*?)^```$", re.M | re.S)
ANSWERS = {"json", "text"}
RUNNING_S = 120

Environment = dict[str, str]


@dataclass(frozen=True)
class Example:
    """A program, and what its document says that it prints."""

    heading: str
    language: str
    program: str
    printed: str


def examples(name: str) -> list[Example]:
    """The programs of a document. What stands below several of them is what each prints."""
    found: list[Example] = []
    programs: list[tuple[str, str, str]] = []
    heading = ""
    for block in BLOCKS.finditer((DOCS / name).read_text("utf-8")):
        heading = block["heading"] or heading
        if block["language"] in ANSWERS:
            found += [Example(*program, block["content"]) for program in programs]
            programs = []
        elif block["language"] and not block["content"].startswith("export "):
            programs.append((heading, block["language"], block["content"]))
    assert not programs, f"{name} doesn't say what these print: {programs}"
    return found


EXAMPLES = [*examples("api.md"), *examples("examples.md")]


def written_in(language: str) -> pytest.MarkDecorator:
    """Parametrises a test with the examples in a language."""
    chosen = [example for example in EXAMPLES if example.language == language]
    return pytest.mark.parametrize("example", chosen, ids=[example.heading for example in chosen])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where examples find the picture that they read."""
    painting().save(tmp_path / "painting.jpg")
    return tmp_path


@pytest.fixture
def environment(instance: Instance, image_host: str) -> Environment:
    """What the documents tell people to export. The index has what they are told to put into it."""
    image_url = f"{image_host}/painting.png"
    metadata = {"title": "Snow Storm", "year": 1842, "tags": ["sea", "storm"]}
    httpx.post(
        f"{instance.url}/ingest",
        json={"items": [{"id": "artwork-1842", "url": image_url, "metadata": metadata}]},
        headers={"Authorization": f"Bearer {instance.token}"},
        timeout=RUNNING_S,
    ).raise_for_status()
    return {
        "EMBEDDINGS_URL": instance.url,
        "EMBEDDINGS_TOKEN": instance.token,
        "EMBEDDINGS_MODEL": instance.model,
        "IMAGE_URL": image_url,
        "DATABASE_URL": postgresql.url(postgresql.new_database()),
    }


@pytest.mark.slow
@pytest.mark.parametrize("stand_in_first", [False, True], ids=["this machine's curl", "the stand-in"])
@written_in("sh")
def test_every_curl_command_gets_an_answer_like_the_one_that_is_shown(
    example: Example, stand_in_first: bool, folder: Path, environment: Environment
) -> None:
    commands = folder / "bin"
    commands.mkdir()
    (commands / "curl").write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STAND_IN)])} "$@"\n')
    (commands / "curl").chmod(0o755)
    path = [str(commands), os.environ["PATH"]]
    environment["PATH"] = os.pathsep.join(path if stand_in_first else path[::-1])

    answer = json.loads(run(["sh", "-c", example.program], folder, environment))

    assert shape(answer) == shape(json.loads(example.printed.replace(", …", "")))
    assert all(len(vector) == 512 and math.isclose(math.hypot(*vector), 1, abs_tol=1e-5) for vector in vectors(answer))


@pytest.mark.slow
@written_in("python")
def test_every_python_program_prints_what_is_shown(example: Example, folder: Path, environment: Environment) -> None:
    (folder / "example.py").write_text(example.program)

    assert run([sys.executable, "example.py"], folder, environment) == example.printed


@pytest.mark.slow
@written_in("js")
def test_every_node_program_prints_what_is_shown(
    example: Example, folder: Path, environment: Environment, run_node: RunNode
) -> None:
    (folder / "example.mjs").write_text(example.program)

    assert run_node("example.mjs", **environment) == example.printed


def test_every_example_is_run() -> None:
    assert {example.language for example in EXAMPLES} == {"sh", "python", "js"}


@pytest.mark.parametrize("name", ["api.md", "examples.md"])
def test_the_documents_tell_people_to_export_what_the_examples_read(name: str) -> None:
    document = (DOCS / name).read_text("utf-8")
    exported = set(re.findall(r"^export ([A-Z_]+)=", document, re.M))

    assert exported == set(re.findall(r"(?:\$|env\.|environ\[['\"])([A-Z_]+)", document))


def run(command: list[str], folder: Path, environment: Environment) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=RUNNING_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shape(value: Any) -> Any:
    """What is where in an answer, whatever the texts, the numbers and the lengths of lists."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        shapes = [shape(item) for item in value]
        return [each for place, each in enumerate(shapes) if each not in shapes[:place]]
    return type(value).__name__


def vectors(value: Any) -> list[list[float]]:
    """The vectors of an answer, wherever they are: its lists of numbers with a point."""
    if isinstance(value, dict):
        return [vector for item in value.values() for vector in vectors(item)]
    if not isinstance(value, list):
        return []
    if value and all(isinstance(item, float) for item in value):
        return [value]
    return [vector for item in value for vector in vectors(item)]
