"""The command line: what it prints, and how it ends when something can't be."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from app import __version__, cli
from app.demo.gallery import hang
from app.demo.service import FOLDER, demonstrating
from app.embeddings import EmbeddingModel
from app.embeddings.engines.choice import Choice
from app.main import __getattr__ as attribute_of_main
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.conftest import TOKEN
from tests.test_documents import README


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a gallery of two artworks hangs."""
    folder = tmp_path_factory.mktemp("hung") / FOLDER
    hang(demonstrating(), folder, 2)
    return folder


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, which must be one line for a person."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("tate-embeddings: ")
    return lines[0]


def test_help_and_version_need_no_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (
        (["--help"], "serve"),
        (["serve", "--help"], "--workers"),
        (["--version"], __version__),
    ):
        with pytest.raises(SystemExit) as end:
            run(*arguments)
        assert end.value.code == 0
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize("token", ["", " , ", None])
def test_serving_without_a_token_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str | None
) -> None:
    if token is not None:
        monkeypatch.setenv("AUTH_TOKEN", token)

    assert run("serve") == 1
    assert "AUTH_TOKEN is missing" in only_line(capsys)


def test_a_wrong_setting_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", "http")

    assert run("serve") == 1
    assert "PORT is wrong" in only_line(capsys)


@pytest.mark.parametrize("workers", ["0", "many"])
def test_a_wrong_option_ends_in_one_line(capsys: pytest.CaptureFixture[str], workers: str) -> None:
    assert run("serve", "--workers", workers) == 1
    assert "WORKERS is wrong" in only_line(capsys)


def test_a_gpu_that_is_not_there_ends_the_start_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.embeddings.engines.choice.gpus", lambda: 0)
    monkeypatch.setenv("AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("DEVICE", "cuda")

    assert run("serve") == 1
    assert "DEVICE=cuda" in only_line(capsys)


def test_a_short_token_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AUTH_TOKEN", "dev_token")
    monkeypatch.setenv("MODEL_NAME", "no-such-model")
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert run("serve") == 1
    assert "AUTH_TOKEN is shorter than 16" in capsys.readouterr().err


def test_a_model_that_is_not_prepared_and_no_torch_to_prepare_it_name_both_ways_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert run("prepare") == 1
    line = only_line(capsys)
    assert "tate-embeddings prepare" in line
    assert "MODEL_NAME" in line


def test_preparing_a_model_that_is_prepared_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: EmbeddingModel,
    small: str,
    cache: Path,
) -> None:
    monkeypatch.setenv("MODEL_NAME", small)
    monkeypatch.setenv("PRETRAINED", "-")
    monkeypatch.setenv("MODEL_CACHE_DIR", str(cache))

    assert run("prepare") == 0
    said = capsys.readouterr().out
    assert str(cache / model.space) in said
    assert "float32" in said


def test_ctrl_c_ends_a_command_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "choose", interrupted)

    assert run("prepare") == 130
    assert capsys.readouterr().err == ""


def test_serving_starts_as_many_processes_as_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, model: EmbeddingModel, small: str, cache: Path
) -> None:
    started: list[int] = []

    class Recorded:
        def __init__(self, _: object, workers: int, __: object) -> None:
            started.append(workers)

        def run(self) -> None: ...

    monkeypatch.setattr(cli, "Processes", Recorded)
    for name, value in {"MODEL_NAME": small, "PRETRAINED": "-", "MODEL_CACHE_DIR": cache, "AUTH_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, str(value))

    assert run("serve", "--workers", "3") == 0
    assert started == [3]


def test_workers_share_the_gpus_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Started:
        def __init__(self, _: object, workers: int, make_app: Callable[[int, int], object]) -> None:
            for place in range(workers):
                make_app(place, 1)

        def run(self) -> None: ...

    monkeypatch.setattr(cli, "Processes", Started)
    monkeypatch.setattr(cli, "choose", lambda _: Choice("torch", "cuda"))
    monkeypatch.setattr(cli, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(cli, "gpus", lambda: 2)
    monkeypatch.setattr(cli, "create_app", lambda *_, device_index=None, **__: made.append(device_index))

    assert run("serve", "--workers", "4") == 0
    assert made == [None, 0, 1, 0, 1]  # the first only looks whether the settings are in order


def test_uvicorn_finds_no_application_without_a_token_and_says_why() -> None:
    with pytest.raises(SystemExit, match="AUTH_TOKEN is missing"):
        attribute_of_main("app")


def test_uvicorn_finds_one_application(
    monkeypatch: pytest.MonkeyPatch, model: EmbeddingModel, small: str, cache: Path
) -> None:
    import app.main

    for name, value in {"MODEL_NAME": small, "PRETRAINED": "-", "MODEL_CACHE_DIR": cache, "AUTH_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, str(value))
    try:
        assert app.main.app is app.main.app
    finally:
        vars(app.main).pop("app", None)


def test_main_has_nothing_else_to_find() -> None:
    with pytest.raises(AttributeError):
        attribute_of_main("application")


@pytest.mark.slow
def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "app.cli", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == __version__


def test_searching_where_no_gallery_is_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path))

    assert run("search", "a boat") == 1
    assert "make demo" in only_line(capsys)


def test_a_gallery_of_no_artworks_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("demo", "--artworks", "0")

    assert "must be 1 or more" in capsys.readouterr().err


def test_the_demonstration_serves_its_gallery_and_the_pictures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hung: Path
) -> None:
    made: list[FastAPI] = []

    class Started:
        def __init__(self, _: object, __: int, make_app: Callable[[int, int], FastAPI]) -> None:
            made.append(make_app(0, 1))

        def run(self) -> None: ...

    monkeypatch.setattr(cli, "Processes", Started)
    monkeypatch.setenv("INDEX_URL", "faiss:///an/index/of/somebody/else")

    assert run("demo", "--dir", str(hung), "--artworks", "2") == 0
    said = capsys.readouterr().out
    assert "2 generated artworks" in said
    assert said.count("curl -s http://localhost:8000/search ") == 3
    assert f"search 'a lighthouse' --dir {hung}" in said
    assert TestClient(made[0]).get("/artworks/demo-0002.jpg").status_code == 200
    assert made[0].state.services.settings.index_url == f"faiss://{hung}"


def test_the_readme_s_search_finds_artworks_of_the_gallery(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hung: Path
) -> None:
    monkeypatch.setenv("MODEL_CACHE_DIR", str(hung.parent))
    (command,) = re.findall(r"^\.venv/bin/tate-embeddings (search .*)$", README, re.M)

    assert run(*shlex.split(command)) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"-?0\.\d{3}  .+ - .+ \(invented\), \d{4}, .+", lines[0])
    assert {line.strip() for line in lines[1::2]} == {
        str(hung / "images" / f"demo-000{number}.jpg") for number in (1, 2)
    }


def test_a_gallery_is_searched_with_its_model_whatever_is_served_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hung: Path
) -> None:
    monkeypatch.setenv("MODEL_NAME", "no-such-model")

    assert run("search", "a boat", "--dir", str(hung), "-k", "1") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
