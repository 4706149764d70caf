"""`tate-embeddings embed`: a vector for each text and image, in order, whatever becomes of the others."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app import cli
from app.commands.embed import WINDOW, embed
from app.commands.items import Item
from app.commands.local import LocalModel
from app.commands.outcomes import Failed, Outcome
from app.embeddings import EmbeddingModel

from tests.test_documents import README
from tests.test_endpoints import as_png, painting

PACE_S = 0.02
STARTING_S = 60


@pytest.fixture(autouse=True)
def _on_the_small_model(monkeypatch: pytest.MonkeyPatch, model: EmbeddingModel) -> None:
    monkeypatch.setattr("app.commands.local.EmbeddingModel", lambda *_, **__: model)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: with images, hidden ones too, and what is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.PNG", "below/c.jpg", ".hidden.png", ".git/d.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(as_png(painting()))
    (tmp_path / "images" / "notes.txt").write_text("no picture at all")
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(["embed", *arguments])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, which must be one line for a person."""
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("tate-embeddings: ")
    return said[0]


def test_a_text_gives_a_line_with_the_model_s_vector(capsys: pytest.CaptureFixture[str], model: EmbeddingModel) -> None:
    assert run("--text", "a stormy sea") == 0

    said = capsys.readouterr()
    (line,) = lines(said.out)
    assert np.allclose(line.pop("embedding"), model.embed_texts(["a stormy sea"])[0], atol=1e-6)
    assert line == {
        "item": "a stormy sea", "kind": "text", "dimensions": 64, "space": model.space, "truncated": False,
    }  # fmt: skip
    assert said.err == ""


def test_images_come_first_in_their_order_and_then_the_texts(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "texts").write_text("one\r\ntwo")

    assert run("--text", "zero", "--texts-from", "texts", "images/b.png", "images") == 0

    found = [(line["kind"], line["item"]) for line in lines(capsys.readouterr().out)]
    images = ["images/b.png", "images/a.PNG", "images/b.png", "images/below/c.jpg"]
    assert found == [("file", image) for image in images] + [("text", text) for text in ("zero", "one", "two")]


def test_an_image_gives_a_line_with_what_it_was(
    capsys: pytest.CaptureFixture[str], folder: Path, model: EmbeddingModel
) -> None:
    assert run("images/b.png") == 0

    (line,) = lines(capsys.readouterr().out)
    assert np.allclose(line["embedding"], model.embed_images([painting()])[0], atol=1e-6)
    assert (line["width"], line["height"], len(line["sha256"])) == (90, 60, 64)


def test_what_fails_stops_nothing_else_and_is_counted(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty").mkdir()
    (folder / "large.png").write_bytes(bytes(100_000))
    (folder / "texts").write_bytes(b"\xff\n")
    monkeypatch.setenv("MAX_IMAGE_BYTES", "50000")
    failing = ["images/notes.txt", "missing.png", "empty", "large.png", "ftp://example.org/a.png"]

    assert run(*failing, "images/b.png", "--text", " ", "--text", "a" * 1_100_000, "--texts-from", "texts") == 1

    said = capsys.readouterr()
    assert [line.get("error", {}).get("code") for line in lines(said.out)] == [
        "not_an_image", "image_not_found", "image_not_found", "too_large", "url_forbidden",
        None,
        "invalid_request", "too_large", "invalid_request",
    ]  # fmt: skip
    assert all(line["error"]["detail"] for line in lines(said.out) if "error" in line)
    assert "8 of 9 items have no vector (2 image_not_found, 2 too_large, 2 invalid_request, 1" in said.err


def test_a_folder_that_can_t_be_read_is_a_failure_of_its_own(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("below"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)

    assert run("images") == 1
    found = [(line["item"], "error" in line) for line in lines(capsys.readouterr().out)]
    assert found == [("images/a.PNG", False), ("images/b.png", False), ("images/below", True)]


def test_a_npy_file_has_the_rows_of_what_has_vectors_and_a_line_for_every_item(
    folder: Path, model: EmbeddingModel
) -> None:
    assert run("images/b.png", "missing.png", "--text", "a sea", "--output", "out.npy") == 1

    rows = np.load("out.npy")
    assert (rows.shape, rows.dtype) == ((2, 64), np.float32)
    assert np.array_equal(rows[1], model.embed_texts(["a sea"])[0])
    described = lines((folder / "out.npy.jsonl").read_text())
    assert [(line["item"], line.get("row")) for line in described] == [
        ("images/b.png", 0), ("missing.png", None), ("a sea", 1),
    ]  # fmt: skip
    assert not any("embedding" in line for line in described)


def test_the_command_of_the_readme_works(folder: Path) -> None:
    (command,) = re.findall(r"^tate-embeddings embed .*$", README, re.M)

    assert run(*shlex.split(command)[2:]) == 0
    assert len(np.load("vectors.npy")) == 4


def test_a_npy_file_without_rows_can_be_read(folder: Path) -> None:
    assert run("missing.png", "--output", "out.npy") == 1

    assert np.load("out.npy").shape == (0, 0)


def test_a_file_of_lines_has_what_would_be_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--text", "a sea", "--output", "out.jsonl") == 0
    assert run("--text", "a sea") == 0

    assert (folder / "out.jsonl").read_text() == capsys.readouterr().out


@pytest.mark.parametrize("name", ["out.txt", "images", "no/such/folder/out.npy"])
def test_an_output_that_can_t_be_written_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("--text", "a sea", "--output", name) == 1
    assert "can't be written" in only_line(capsys)


def test_ctrl_c_leaves_the_output_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object, texts: Sequence[str]) -> Sequence[Outcome]:
        if "the last" in texts:
            raise KeyboardInterrupt
        return [Failed("internal", "")] * len(texts)

    (folder / "out.npy").write_text("as it was")
    (folder / "texts").write_text("a sea\n" * WINDOW + "the last")
    monkeypatch.setattr(LocalModel, "texts", interrupted)
    before = sorted(folder.iterdir())

    assert run("--texts-from", "texts", "--output", "out.npy") == 130
    assert (folder / "out.npy").read_text() == "as it was"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "name what to embed"),
        (["--texts-from", "no-such-file"], "No such file"),
        (["--texts-from", "."], "directory"),
    ],
)
def test_nothing_to_embed_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    assert run(*arguments) == 1
    assert line in only_line(capsys)


def test_a_model_that_can_t_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("app.commands.local.EmbeddingModel", EmbeddingModel)
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert run("--text", "a sea") == 1
    assert "is not prepared" in only_line(capsys)


def test_a_defect_is_a_failure_of_its_items(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: EmbeddingModel, folder: Path
) -> None:
    def broken(_: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr(model, "embed_tokens", broken)

    assert run("images/b.png", "--text", "a sea") == 1
    image, text = lines(capsys.readouterr().out)
    assert len(image["embedding"]) == 64
    assert text["error"]["code"] == "internal"


def test_a_deadline_is_a_failure_of_its_items(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REQUEST_TIMEOUT_S", "1e-9")

    assert run("--text", "a sea") == 1
    assert lines(capsys.readouterr().out)[0]["error"]["code"] == "deadline_exceeded"


def test_progress_is_for_who_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    (folder / "texts").write_text("a sea\n" * (WINDOW + 1))

    assert run("--texts-from", "texts", "--output", "out.npy") == 0
    assert capsys.readouterr().err == f"\r  embedding: {WINDOW} done \r  embedding: {WINDOW + 1} done \n"


def test_items_are_read_a_window_at_a_time() -> None:
    read = written = 0
    ahead = []

    def endless() -> Iterator[Item]:
        nonlocal read
        for read in range(1, 10 * WINDOW):
            ahead.append(read - written)
            yield Item("text", f"text {read}")

    class Forgetful:
        def texts(self, texts: Sequence[str]) -> Sequence[Outcome]:
            return [Failed("internal", "")] * len(texts)

        def images(self, images: Sequence[Item]) -> Sequence[Outcome]:
            raise AssertionError

        def write(self, item: Item, outcome: Outcome) -> None:
            nonlocal written
            written += 1

        def flush(self) -> None: ...

    tally = embed(endless(), Forgetful(), Forgetful(), lambda _: None)

    assert tally == {"internal": 10 * WINDOW - 1}
    assert max(ahead) <= WINDOW


def _started(*arguments: str, **streams: Any) -> "subprocess.Popen[bytes]":
    environment = {"MODEL_NAME": "tiny-gallery", "PRECISION": "float32"}
    command = [sys.executable, "-m", "app.cli", "embed", *arguments]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, **streams)


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_the_output_as_it_was(folder: Path) -> None:
    (folder / "out.jsonl").write_text("as it was")
    with _started("--texts-from", "-", "--output", "out.jsonl", stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b"a sea\n" * WINDOW)
        process.stdin.flush()
        pace = threading.Event()
        for _ in range(int(STARTING_S / PACE_S)):
            if any(file.stat().st_size for file in folder.glob(".out.jsonl.unfinished-*/out.jsonl")):
                break
            pace.wait(PACE_S)
        process.kill()

    assert list(folder.glob(".out.jsonl.unfinished-*/out.jsonl"))
    assert (folder / "out.jsonl").read_text() == "as it was"


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(folder: Path) -> None:
    (folder / "texts").write_text("a sea\n" * 10 * WINDOW)
    with _started("--texts-from", "texts", stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.slow
def test_a_full_disk_is_one_line(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full, _started("--text", "a sea", stdout=full) as process:
        assert process.stderr
        said = process.stderr.read()

    assert process.returncode != 0
    assert b"standard output can't be written (No space left on device)" in said
