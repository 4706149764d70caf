"""Log lines: one form for ours and others', one line a request, no secret in any."""

import json
import logging
import sys
from typing import Any, Literal

import pytest
import structlog
from app.telemetry import logs
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN

Said = pytest.CaptureFixture[str]


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_every_logger_writes_json(capsys: Said) -> None:
    logs.configure("INFO", "json")

    logging.getLogger("gunicorn.error").info("Listening at %s", "8000")
    structlog.get_logger("app.requests").info("request", status=200)

    ours, theirs = reversed(lines(capsys.readouterr().err))
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("Listening at 8000", "info", "gunicorn.error")
    assert (ours["event"], ours["status"], ours["logger"]) == ("request", 200, "app.requests")
    assert ours["timestamp"]


def test_a_traceback_stays_in_its_line(capsys: Said) -> None:
    logs.configure("INFO", "json")

    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("app").exception("a defect")

    assert "ValueError: broken" in lines(capsys.readouterr().err)[0]["exception"]


@pytest.mark.parametrize(
    ("form", "watched", "readable"),
    [("auto", True, True), ("auto", False, False), ("console", False, True), ("json", True, False)],
)
def test_a_person_at_a_terminal_gets_lines_to_read(
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
    form: Literal["auto", "json", "console"],
    watched: bool,
    readable: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)
    logs.configure("INFO", form)

    logging.getLogger("app").info("hello")
    structlog.get_logger("app.requests").info("request", status=200)

    theirs, ours = capsys.readouterr().err.splitlines()
    assert theirs.startswith("{") is ours.startswith("{") is not readable


def test_the_level_holds_for_all(capsys: Said) -> None:
    logs.configure("WARNING", "json")

    logging.getLogger("app").info("hello")
    structlog.get_logger("app.requests").info("request", status=200)

    assert capsys.readouterr().err == ""


def test_a_request_is_one_line_without_its_text_and_token(client: TestClient, capsys: Said) -> None:
    logs.configure("INFO", "json")

    client.post("/embed-text?canary=1", json={"query": "a canary"}, headers=AUTHORIZED | {"X-Request-ID": "one"})

    said = capsys.readouterr().err
    (line,) = lines(said)
    assert (line["request_id"], line["method"], line["route"], line["status"]) == ("one", "POST", "/embed-text", 200)
    assert line["infer_ms"] > 0
    assert "canary" not in said
    assert TOKEN not in said


def test_a_refused_request_is_one_line_with_its_code(client: TestClient, capsys: Said) -> None:
    logs.configure("INFO", "json")

    client.post("/embed-text", headers={"Authorization": "Bearer canary"})

    said = capsys.readouterr().err
    (line,) = lines(said)
    assert (line["status"], line["code"]) == (401, "unauthorized")
    assert "canary" not in said
