"""Log lines: one form for ours and others', one line a request, no secret in any."""

import asyncio
import gc
import json
import logging
import sys
from contextlib import suppress
from typing import Any, Literal

import pytest
import structlog
from app.api.middleware import RequestContext
from app.telemetry import logs
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.conftest import AUTHORIZED, TOKEN
from tests.test_status import state

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
        raise RuntimeError("the engine broke")
    except RuntimeError:
        logging.getLogger("app").exception("a defect")

    told = lines(capsys.readouterr().err)[0]["exception"]
    assert "RuntimeError: the engine broke" in told
    assert "test_logs.py" in told


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


def test_a_line_says_what_went_in_and_out_where_it_waited_and_what_was_remembered(
    client: TestClient, capsys: Said
) -> None:
    logs.configure("INFO", "json")

    for _ in range(2):
        answer = client.post("/embed-text", content=b'{"query": "twice"}', headers=AUTHORIZED | {"Priority": "u=1"})

    computed, remembered = lines(capsys.readouterr().err)
    assert (computed["bytes_in"], computed["bytes_out"]) == (18, len(answer.content))
    assert (computed["lane"], computed["cache_miss"]) == (1, 1)
    assert (remembered["lane"], remembered["cache_hit"]) == (None, 1)
    assert computed["code"] is None


def test_a_query_that_is_refused_at_the_door_names_its_route(
    client: TestClient, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state(client).embedder._texts, "_most_waiting", -1)
    logs.configure("INFO", "json")

    client.post("/embed-text", json={"query": "one too many"}, headers=AUTHORIZED)

    (line,) = lines(capsys.readouterr().err)
    assert (line["route"], line["status"], line["code"]) == ("/embed-text", 503, "overloaded")


def asked(app: ASGIApp, *messages: Message) -> dict[str, Any]:
    """What the log says of a request of which these messages come in."""
    scope = {"type": "http", "method": "POST", "path": "/embed-text", "headers": []}
    coming = iter(messages)

    async def receive() -> Message:
        return next(coming)

    async def send(_: Message) -> None: ...

    with structlog.testing.capture_logs() as said, suppress(asyncio.CancelledError):
        asyncio.run(RequestContext(app)(scope, receive, send))
    (line,) = said
    return dict(line)


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads to the end and answers, whoever is there to hear it."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})


async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


def test_a_caller_who_has_hung_up_has_no_200() -> None:
    gone = asked(answering, {"type": "http.disconnect"})
    stayed = asked(answering, {"type": "http.request", "body": b"all"})

    assert (gone["status"], gone["code"], gone["bytes_in"]) == (499, "hung_up", 0)
    assert (stayed["status"], stayed["code"], stayed["bytes_in"], stayed["bytes_out"]) == (200, None, 3, 4)


def test_a_request_that_ends_with_the_service_has_a_status() -> None:
    line = asked(cut_off)

    assert (line["status"], line["code"]) == (503, "not_ready")


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_shows_where_it_came_from_and_nothing_that_was_sent(
    capsys: Said, form: Literal["json", "console"]
) -> None:
    logs.configure("DEBUG", form)
    query = "canary"

    try:
        try:
            dict[str, None]()[query]
        except KeyError as error:
            raise ValueError(f"{query} is no number") from error
    except ValueError:
        logging.getLogger("app").exception("a defect")

    said = capsys.readouterr().err
    assert "KeyError" in said
    assert "ValueError" in said
    assert "direct cause" in said
    assert "canary" not in said


def test_what_asyncio_says_of_a_task_leaves_out_what_it_is_made_of(capsys: Said) -> None:
    logs.configure("DEBUG", "json")

    async def forgotten() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    async def fail() -> None:
        raise ValueError("".join(("can", "ary")))

    asyncio.run(forgotten())
    gc.collect()

    said = capsys.readouterr().err
    assert "Task exception was never retrieved" in said
    assert "canary" not in said


def test_a_refused_request_is_one_line_with_its_code(client: TestClient, capsys: Said) -> None:
    logs.configure("INFO", "json")

    client.post("/embed-text", headers={"Authorization": "Bearer canary"})

    said = capsys.readouterr().err
    (line,) = lines(said)
    assert (line["status"], line["code"]) == (401, "unauthorized")
    assert "canary" not in said
