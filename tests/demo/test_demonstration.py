"""`tate-embeddings demo` as someone meets it who has just cloned the repository."""

import json
import os
import re
import shlex
import subprocess

import httpx
import pytest

from tests.demo.conftest import COMMAND, TOKEN, Demonstration

pytestmark = pytest.mark.slow


def search(demonstration: Demonstration, *arguments: str, stdin: str = "") -> list[str]:
    """The lines that `tate-embeddings search` prints."""
    done = subprocess.run(
        [COMMAND, "search", "--dir", demonstration.folder, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        cwd=demonstration.folder,
    )
    return done.stdout.splitlines()


def printed_commands(demonstration: Demonstration) -> list[list[str]]:
    """The words of the curl commands that were printed, and of what they are piped into."""
    return [shlex.split(line) for line in demonstration.output.read_text().splitlines() if line.startswith("curl ")]


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
        done = subprocess.run(
            words[pipe + 1 :],
            input=answer.text,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"MODEL_CACHE_DIR": str(demonstration.folder.parent)},
        )
        number = int(re.findall(r"demo-(\d+)\.jpg", done.stdout)[0])
        found.append(demonstration.scenes[number - 1])

    stormy, woman, itself = found
    assert (stormy.kind, stormy.weather, stormy.time) == ("seascape", "storm", "night")
    assert (woman.subject, woman.colour) == ("woman", "red")
    assert itself == demonstration.scenes[0]


def test_at_least_300_artworks_hang(demonstration: Demonstration) -> None:
    assert len(demonstration.labels) >= 300
    assert all((demonstration.folder / label["path"]).is_file() for label in demonstration.labels)


def test_it_is_ready_within_a_minute(demonstration: Demonstration) -> None:
    assert demonstration.seconds < 60


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


@pytest.mark.parametrize("path", ["../gallery.json", "..%2fgallery.json", "%2e%2e/metadata.jsonl", ""])
def test_it_shows_nothing_else(demonstration: Demonstration, path: str) -> None:
    assert httpx.get(f"{demonstration.url}/artworks/{path}").status_code == 404


def test_only_this_machine_can_reach_it(demonstration: Demonstration) -> None:
    assert "Listening at: http://127.0.0.1:" in demonstration.log.read_text()


def test_its_service_wants_the_token(demonstration: Demonstration) -> None:
    assert httpx.post(f"{demonstration.url}/embed-text", json={"query": "a boat"}).status_code == 401


def test_words_are_searched_for_without_the_service(demonstration: Demonstration) -> None:
    lines = search(demonstration, "a candle", "-k", "3")

    assert len(lines) == 6
    assert "candle" in lines[0]


def test_an_answer_that_holds_no_vector_ends_in_one_line(demonstration: Demonstration) -> None:
    done = subprocess.run(
        [COMMAND, "search", "--dir", demonstration.folder],
        input='{"detail": "A valid token is needed."}',
        capture_output=True,
        text=True,
        cwd=demonstration.folder,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        'tate-embeddings: what came in is no answer with an embedding: {"detail": "A valid token is needed."}'
    ]


def test_a_vector_of_another_model_is_refused(demonstration: Demonstration) -> None:
    foreign = json.dumps({"embedding": [1.0, *[0.0] * 511], "space": "another"})
    done = subprocess.run(
        [COMMAND, "search", "--dir", demonstration.folder],
        input=foreign,
        capture_output=True,
        text=True,
        cwd=demonstration.folder,
    )

    assert done.returncode == 1
    assert "of space another" in done.stderr
