"""`tate-embeddings search`: the nearest of an index, for people and for programs, or one line that says why not."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import respx
from app import cli
from app.commands.search import Place, suited
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.embeddings.prepared import shipped
from app.search.opening import in_folder, opened
from app.search.store import Item

from tests.commands.conftest import Live
from tests.commands.test_embed import only_line
from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving
from tests.test_endpoints import IMAGE_URL, as_png, painting

SEA, DOGS = "a stormy sea at night", "two dogs on a beach"
PICTURE = painting(70, 50)
METADATA: dict[str, dict[str, Any]] = {
    "sea": {
        "title": "Die Wogende See", "artist": "A. Maler", "year": 1840, "medium": "Öl", "url": "https://example.org/1",
        "image": {"path": "images/aa/aa.jpg"},
    },
    "dogs": {},
    "picture": {"title": "A picture", "year": 1902, "image": {"path": "images/bb/bb.png"}},
}  # fmt: skip
# More lines than a pipe holds.
MANY = 5000


@pytest.fixture(autouse=True)
def _on_the_small_model(monkeypatch: pytest.MonkeyPatch, model: EmbeddingModel) -> None:
    monkeypatch.setattr("app.commands.local.EmbeddingModel", lambda *_, **__: model)


@pytest.fixture(scope="module")
def folder(model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an index of three items lies."""
    folder = tmp_path_factory.mktemp("catalogue")
    vectors = dict(zip(("sea", "dogs"), model.embed_texts([SEA, DOGS]), strict=True))
    (vectors["picture"],) = model.embed_images([PICTURE])
    put_into(folder, [Item(name, vector, METADATA[name]) for name, vector in vectors.items()], model.space)
    return folder


def put_into(folder: Path, items: Sequence[Item], space: str) -> None:
    with closing(opened(in_folder(folder))) as store:
        store.upsert(items, space)


def a_unit(dimensions: int = 64) -> Any:
    return np.eye(1, dimensions, dtype=np.float32)[0]


def run(*arguments: str | Path) -> int:
    return cli.main(["search", *map(str, arguments)])


def test_what_is_nearest_to_words_is_shown_with_its_label_and_its_url(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert run(SEA, "--dir", folder, "-k", "1") == 0

    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "1.000  Die Wogende See - A. Maler, 1840, Öl",
        "       https://example.org/1",
    ]
    assert said.err == ""


def test_what_is_nearest_to_an_image_is_shown_with_its_file_if_it_has_no_url(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "picture.png").write_bytes(as_png(PICTURE))

    assert run("--image", tmp_path / "picture.png", "--dir", folder, "-k", "1") == 0
    assert capsys.readouterr().out.splitlines() == ["1.000  A picture - 1902", f"       {folder}/images/bb/bb.png"]


def test_what_has_neither_title_nor_place_is_shown_by_its_id(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(DOGS, "--dir", folder, "-k", "1") == 0
    assert capsys.readouterr().out == "1.000  dogs\n"


@respx.mock
def test_an_image_may_be_behind_a_url(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    respx.get(IMAGE_URL).respond(content=as_png(PICTURE))

    assert run("--image", IMAGE_URL, "--dir", folder, "-k", "1") == 0
    assert capsys.readouterr().out.startswith("1.000  A picture")


@pytest.mark.slow
def test_programs_get_lines_that_are_the_results_of_the_api(
    capsys: pytest.CaptureFixture[str], folder: Path, serving: Serving, make_settings: MakeSettings
) -> None:
    with serving(make_settings(index_url=in_folder(folder))) as client:
        results = client.post("/search", json={"query": SEA, "k": 3}, headers=AUTHORIZED).json()["results"]
    capsys.readouterr()  # what the service has logged

    assert run(SEA, "--dir", folder, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["id"] == "sea"
    assert [line | {"score": pytest.approx(line["score"], abs=1e-5)} for line in lines] == results


def test_only_what_a_filter_lets_through_is_found(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(SEA, "--dir", folder, "--filter", '{"year": {"gte": 1900}}', "--json") == 0

    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["picture"]


def test_nothing_that_is_near_enough_is_no_failure(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run("something else", "--dir", folder, "--min-score", "1") == 0

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nothing was found\n")


def test_the_index_of_the_settings_is_searched_unless_a_folder_is_named(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    model: EmbeddingModel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    put_into(tmp_path, [Item("another", a_unit(), {"image": {"path": "a.png"}})], model.space)
    monkeypatch.setenv("INDEX_URL", in_folder(tmp_path))

    assert run(SEA) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("  another")
    assert run(SEA, "--dir", folder, "-k", "1") == 0
    assert "Die Wogende See" in capsys.readouterr().out


def test_a_folder_may_have_any_name(
    capsys: pytest.CaptureFixture[str], model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put_into(Path("50 %25 #1?"), [Item("it", a_unit(), {})], model.space)

    assert (tmp_path / "50 %25 #1?" / "faiss.index").exists()
    assert run(SEA, "--dir", "50 %25 #1?") == 0
    assert capsys.readouterr().out.endswith("  it\n")


def test_a_service_may_embed(live: Live, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(SEA, "--dir", folder, "-k", "1", "--service", live.url, "--token", TOKEN) == 0

    assert "Die Wogende See" in capsys.readouterr().out
    assert ("POST", "/embed/text") in live.called


def test_what_an_index_holds_can_t_move_the_cursor(
    capsys: pytest.CaptureFixture[str], model: EmbeddingModel, tmp_path: Path
) -> None:
    put_into(tmp_path, [Item("it", a_unit(), {"title": "A\x1b[2J\nB", "url": "https://\r"})], model.space)

    assert run(SEA, "--dir", tmp_path) == 0
    assert [line[7:] for line in capsys.readouterr().out.split("\n")] == ["A\ufffd[2J\ufffdB", "https://\ufffd", ""]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "say what to look for"),
        ([SEA, "--image", "a.png"], "say what to look for"),
        ([" "], "The text is blank."),
        (["--image", "no-such-file.png"], "No such file"),
        (["--image", __file__], "what to look for has no vector: "),
        ([SEA, "--filter", "{"], "--filter is no JSON object"),
        ([SEA, "--filter", "[" * 100_000], "--filter is no JSON object"),
        ([SEA, "--filter", "[1]"], "--filter is no JSON object"),
        ([SEA, "--filter", '{"year": {}}'], "'filter.year' must have"),
        ([SEA, "--filter", '{"yeer": 1840}'], "has a field 'yeer'"),
    ],
)
def test_what_can_t_be_looked_for_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], line: str
) -> None:
    assert run(*arguments, "--dir", folder) == 1
    assert line in only_line(capsys)


@pytest.mark.parametrize(
    ("option", "value"), [("-k", "0"), ("-k", "10001"), ("-k", "some"), ("--min-score", "1.1"), ("--min-score", "nan")]
)
def test_a_number_beyond_its_bounds_is_refused(
    capsys: pytest.CaptureFixture[str], folder: Path, option: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        run(SEA, "--dir", folder, option, value)

    assert f"argument {option}: " in capsys.readouterr().err


def test_an_index_of_another_space_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put_into(tmp_path, [Item("it", a_unit(), {})], "another")

    assert run(SEA, "--dir", tmp_path) == 1
    line = only_line(capsys)
    assert "is of space 'another'" in line
    assert "MODEL_NAME" in line


def test_a_folder_without_an_index_is_one_line_that_says_what_makes_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(SEA, "--dir", tmp_path / "missing") == 1
    assert f"tate-embeddings catalogue run LIST --dir {tmp_path}/missing" in only_line(capsys)


def test_an_index_into_which_nothing_was_put_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INDEX_URL", in_folder(tmp_path))

    assert run(SEA) == 1
    assert "nothing has been put into the index of INDEX_URL" in only_line(capsys)


def test_an_index_that_is_damaged_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "faiss.index").write_text("no index at all")

    assert run(SEA, "--dir", tmp_path) == 1
    assert "the index can't be searched: " in only_line(capsys)


def test_an_index_of_the_demonstration_s_space_gets_its_model_and_another_that_of_the_settings() -> None:
    bundled = shipped(thoroughly=False)
    assert bundled
    settings = Settings.load(model_name="ViT-L-14", pretrained="openai")
    elsewhere, gallery = Place.of(Path("x"), "", Path("y")), Place.of(None, "", Path("y"))

    assert suited(settings, elsewhere, "another") is settings
    assert suited(settings, elsewhere, bundled.manifest.space).demonstration
    assert suited(settings, gallery, "that of a model that was bundled before").demonstration


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    bundled = shipped(thoroughly=False)
    assert bundled
    vector = a_unit(bundled.manifest.dimensions)
    put_into(tmp_path, [Item(f"item {number}", vector, {}) for number in range(MANY)], bundled.manifest.space)
    command = [sys.executable, "-m", "app.cli", "search", SEA, "--dir", str(tmp_path), "-k", str(MANY)]
    with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == b""
    assert process.returncode == 1
