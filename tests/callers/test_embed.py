"""`tate-embeddings embed --service`: what a service gives is what this machine gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app import cli

from tests.callers.conftest import Instance
from tests.conftest import TOKEN
from tests.test_endpoints import as_png, painting

pytestmark = pytest.mark.slow


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, which must be one line for a person."""
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("tate-embeddings: ")
    return said[0]


@pytest.fixture
def items(image_host: str, tmp_path: Path) -> list[str]:
    """Items of every kind, in an order that no request has; some fail."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(as_png(painting()))
    (tmp_path / "c.png").write_text("no picture at all")
    urls = [f"{image_host}/painting.png", f"{image_host}/text.txt", "ftp://example.org/painting.png"]
    texts = ["--text", "a stormy sea", "--text", " ", "--text", "two dogs " * 100]
    return [urls[0], str(tmp_path), urls[1], str(tmp_path / "missing.png"), urls[2], *texts]


def test_a_service_gives_the_same_as_this_machine(
    instance: Instance,
    items: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"MODEL_NAME": instance.model, "PRECISION": "float32", "ALLOW_PRIVATE_NETWORKS": "true"}.items():
        monkeypatch.setenv(name, value)

    assert cli.main(["embed", *items]) == 1
    here = lines(capsys)
    assert cli.main(["embed", *items, "--service", instance.url, "--token", instance.token]) == 1
    there = lines(capsys)

    assert len(here) == len(there) == 10
    for one, other in zip(here, there, strict=True):
        assert np.allclose(one.pop("embedding", 0), other.pop("embedding", 0), atol=1e-5)
        assert one == other


def test_images_that_are_too_many_for_memory_go_in_several_requests(
    instance: Instance, items: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_BODY_BYTES", "1")
    monkeypatch.setenv("AUTH_TOKEN", TOKEN)

    assert cli.main(["embed", *items, "--service", instance.url]) == 1
    assert sum("embedding" in line for line in lines(capsys)) == 5


def test_an_answer_that_comes_too_late_is_a_failure_of_its_items(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REQUEST_TIMEOUT_S", "0.000001")

    assert cli.main(["embed", "--text", "a sea", "--service", instance.url, "--token", instance.token]) == 1
    assert lines(capsys)[0]["error"]["code"] == "timeout"


def test_a_token_that_the_service_doesn_t_know_is_one_line(
    instance: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["embed", "--text", "a sea", "--service", instance.url, "--token", "another-of-the-tests"]) == 1
    assert "401 unauthorized" in only_line(capsys)


def test_a_service_that_is_not_there_is_one_line(
    free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REQUEST_TIMEOUT_S", "0.1")
    assert cli.main(["embed", "--text", "a sea", "--service", f"http://127.0.0.1:{free_port}", "--token", TOKEN]) == 1
    assert "connection_failed" in only_line(capsys)


@pytest.mark.parametrize(("url", "token"), [("127.0.0.1:8000", TOKEN), ("http://127.0.0.1", "")])
def test_what_is_no_service_s_address_or_token_is_one_line(
    url: str, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["embed", "--text", "a sea", "--service", url, "--token", token]) == 1
    assert "can't be called" in only_line(capsys)
