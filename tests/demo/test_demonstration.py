"""`tate-embeddings demo` as someone meets it who has just cloned the repository."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest
from app.resources import cores

from tests.demo.conftest import COMMAND, TOKEN, Demonstration

pytestmark = pytest.mark.slow


def printed_commands(demonstration: Demonstration, start: str = "curl ") -> list[list[str]]:
    """The words of the commands that were printed and begin like this."""
    return [shlex.split(line) for line in demonstration.output.read_text().splitlines() if line.startswith(start)]


def test_it_prints_the_token_and_three_commands(demonstration: Demonstration) -> None:
    assert TOKEN in demonstration.output.read_text()
    assert len(printed_commands(demonstration)) == 3


def test_the_commands_that_it_prints_find_the_right_pictures(demonstration: Demonstration) -> None:
    found = []
    for words in printed_commands(demonstration):
        pipe = words.index("|")
        options = list(zip(words[3:pipe:2], words[4:pipe:2], strict=True))
        headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
        answer = httpx.post(words[2], content=dict(options)["-d"], headers=headers, timeout=30)
        shown = subprocess.run(words[pipe + 1 :], input=answer.text, capture_output=True, text=True, check=True).stdout
        results = json.loads(shown)["results"]
        assert len(results) == 3
        found.append(demonstration.scenes[int(results[0]["id"].removeprefix("demo-")) - 1])

    stormy, woman, itself = found
    assert (stormy.kind, stormy.weather, stormy.time) == ("seascape", "storm", "night")
    assert (woman.subject, woman.colour) == ("woman", "red")
    assert itself == demonstration.scenes[0]


def test_the_command_that_it_prints_finds_pictures_without_the_service(demonstration: Demonstration) -> None:
    (words,) = printed_commands(demonstration, f"{COMMAND} search ")

    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()

    assert len(lines) == 10
    assert "Lighthouse" in lines[0]
    assert all(Path(line.strip()).is_file() for line in lines[1::2])


def test_what_is_found_can_be_filtered_by_what_its_label_says(demonstration: Demonstration) -> None:
    filtered = {"kind": "portrait", "year": {"gte": 1900}}
    body = {"query": "a stormy sea at night", "k": 5, "filter": filtered}
    headers = {"Authorization": f"Bearer {TOKEN}"}

    results = httpx.post(f"{demonstration.url}/search", json=body, headers=headers, timeout=30).json()["results"]

    assert [result["metadata"]["kind"] for result in results] == ["portrait"] * 5
    assert all(result["metadata"]["year"] >= 1900 for result in results)


def test_at_least_300_artworks_hang(demonstration: Demonstration) -> None:
    assert len(demonstration.works) >= 300
    paths = [demonstration.folder / work.metadata["image"]["path"] for work in demonstration.works]
    assert all(path.is_file() for path in paths)


def test_it_is_ready_within_a_minute(demonstration: Demonstration) -> None:
    others = max(1.0, os.getloadavg()[0] / cores())  # who want the processors too
    assert demonstration.seconds / others < 60


def test_it_says_everywhere_that_it_is_a_demonstration(demonstration: Demonstration) -> None:
    assert httpx.get(demonstration.url).json()["demonstration"] is True
    assert httpx.get(f"{demonstration.url}/health").json()["demonstration"] is True
    assert "is a demonstration" in demonstration.log.read_text()


def test_it_names_the_model_as_the_settings_do(demonstration: Demonstration) -> None:
    banner = httpx.get(demonstration.url).json()

    assert (banner["model"], banner["pretrained"], banner["dimensions"]) == ("tiny-gallery", "bundled", 512)


def test_it_shows_its_artworks(demonstration: Demonstration) -> None:
    answer = httpx.get(f"{demonstration.url}/artworks/demo-0007.jpg")

    assert answer.content == (demonstration.folder / "images" / "demo-0007.jpg").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("path", ["../gallery.json", "..%2fgallery.json", "%2e%2e/faiss.index", ""])
def test_it_shows_nothing_else(demonstration: Demonstration, path: str) -> None:
    assert httpx.get(f"{demonstration.url}/artworks/{path}").status_code == 404


def test_only_this_machine_can_reach_it(demonstration: Demonstration) -> None:
    assert "Listening at: http://127.0.0.1:" in demonstration.log.read_text()


def test_its_service_wants_the_token(demonstration: Demonstration) -> None:
    assert httpx.post(f"{demonstration.url}/embed-text", json={"query": "a boat"}).status_code == 401
