"""What callers send stands in no line of a real service's log, at the level that says most."""

import json
import os
import pty
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.callers.conftest import running
from tests.conftest import AUTHORIZED, TOKEN, unused_port
from tests.images.hosts import Host, RawHost, redirect
from tests.test_endpoints import as_png, painting

pytestmark = pytest.mark.slow

CANARY = "canary7f3a9c"
PICTURE = b64encode(as_png(painting(33, 22))).decode()

# A request in httpx's words, the status that it gets, and the code in its line.
Case = tuple[dict[str, Any], int, str | None]


@contextmanager
def service(folder: Path, stderr: int) -> Iterator[str]:
    """The address of a service with a defect, in processes of its own, which has ended after the block."""
    settings = {"LOG_LEVEL": "DEBUG", "ALLOW_PRIVATE_NETWORKS": "true", "INDEX_URL": f"faiss://{folder / 'index'}"}
    with running(folder, "tests.telemetry.defective", stderr, **settings) as instance:
        yield instance.url


def of_texts() -> Iterator[Case]:
    embed = {"method": "POST", "url": f"/embed-text?{CANARY}"}
    yield embed | {"json": {"query": f"{CANARY} at night"}}, 200, None
    yield embed | {"json": {"query": f"{CANARY} at night"}}, 200, None
    yield embed | {"json": {"query": f"{CANARY} " * 2000}}, 200, None
    yield embed | {"json": {"query": CANARY}, "headers": {"Authorization": f"Bearer {CANARY}"}}, 401, "unauthorized"
    yield embed | {"json": {"query": CANARY}, "headers": {"Authorization": f"Basic {CANARY}"}}, 401, "unauthorized"
    yield embed | {"json": {"query": [CANARY]}}, 422, "invalid_request"
    yield embed | {"json": {CANARY: CANARY}}, 422, "invalid_request"
    yield embed | {"content": f'{{"query": "{CANARY}'}, 422, "invalid_request"
    yield embed | {"content": CANARY.encode() + b"\xff\xfe"}, 422, "invalid_request"
    yield embed | {"content": "[" * 100_000 + CANARY}, 422, "invalid_request"
    yield embed | {"json": {"query": f"bad value {CANARY}"}}, 500, "internal"
    yield embed | {"json": {"query": f"bad key {CANARY}"}}, 500, "internal"
    yield embed | {"json": {"query": f"odd {CANARY}"}}, 200, None
    yield {"method": "POST", "url": "/embed/text", "json": {"texts": [CANARY, f"bad key {CANARY}"]}}, 500, "internal"
    openai = {"method": "POST", "url": "/v1/embeddings"}
    yield openai | {"json": {"model": CANARY, "input": CANARY}}, 404, "model_not_found"
    yield openai | {"json": {"model": "tiny-gallery", "input": CANARY, "user": CANARY}}, 200, None
    yield {"method": "GET", "url": f"/{CANARY}?{CANARY}={CANARY}"}, 404, "not_found"
    yield {"method": "DELETE", "url": f"/embed-text?{CANARY}"}, 405, "method_not_allowed"
    yield {"method": "GET", "url": "/metrics", "headers": {"Authorization": f"Bearer {CANARY}"}}, 401, "unauthorized"


def of_images(host: Host, raw: RawHost) -> Iterator[Case]:
    embed = {"method": "POST", "url": "/embed-image"}

    def at(url: str) -> dict[str, Any]:
        return embed | {"json": {"url": url}}

    nobody = unused_port()
    user = f"user:{CANARY}"
    yield embed | {"json": {"image": PICTURE}}, 200, None
    yield embed | {"json": {"image": f"{PICTURE[:40]}{CANARY}!"}}, 422, "invalid_request"
    yield embed | {"files": {CANARY: (CANARY, CANARY)}}, 422, "invalid_request"
    yield embed | {"content": CANARY, "headers": {"Content-Type": f"text/{CANARY}"}}, 415, "unsupported_media_type"
    yield embed | {"content": CANARY, "headers": {"Content-Type": "image/png"}}, 422, "not_an_image"
    yield at(f"http://{user}@127.0.0.1:{host.port}/a.png?{CANARY}"), 422, "url_forbidden"
    yield at(f"ftp://{user}@127.0.0.1/a.png?{CANARY}#{CANARY}"), 422, "url_forbidden"
    yield at(f"x:y://{user}@127.0.0.1/a.png?{CANARY}"), 422, "url_forbidden"
    yield at(f"http://169.254.169.254/a.png?{CANARY}"), 422, "url_forbidden"
    yield at(f"http://127.0.0.1:{nobody}/a.png?{CANARY}"), 502, "image_host_failed"
    yield at(f"http://no-such-name.invalid/a.png?{CANARY}"), 502, "image_host_failed"
    yield at(f"https://127.0.0.1:{host.port}/a.png?{CANARY}"), 502, "image_host_failed"
    yield at(f"http://127.0.0.1:{raw.port}/a.png?{CANARY}"), 502, "image_host_failed"
    yield at(host.url(f"/picture.png?{CANARY}")), 422, "image_unusable"
    yield at(host.url(f"/elsewhere.png?{CANARY}")), 422, "url_forbidden"
    yield at(f"http://user%3A{CANARY}%40127.0.0.1/?{CANARY}"), 422, "url_forbidden"
    yield at(f"http://[::1/?{CANARY}"), 422, "invalid_request"
    listed = [host.url(f"/picture.png?{CANARY}"), f"http://127.0.0.1:{raw.port}/?{CANARY}", f"ftp://{user}@h/?{CANARY}"]
    yield {"method": "POST", "url": "/embed/image", "json": {"urls": listed}}, 200, None


def of_the_index(host: Host) -> Iterator[Case]:
    search = {"method": "POST", "url": f"/search?{CANARY}"}
    ingest = {"method": "POST", "url": f"/ingest?{CANARY}"}
    about = {"id": CANARY, "metadata": {CANARY: CANARY}}
    yield ingest | {"json": {"items": [about | {"image": PICTURE}]}}, 200, None
    yield ingest | {"json": {"items": [about | {"url": host.url(f"/picture.png?{CANARY}")}, {"id": CANARY}]}}, 200, None
    yield ingest | {"json": {"items": [about | {"embedding": [CANARY]}, about | {CANARY: 1, "image": "?"}]}}, 200, None
    yield ingest | {"json": {"items": CANARY}}, 422, "invalid_request"
    yield search | {"json": {"query": f"{CANARY} at night", "filter": {CANARY: CANARY}}}, 200, None
    yield search | {"json": {"query": f"{CANARY} at night", "filter": {f"{CANARY}?": CANARY}}}, 422, "invalid_request"
    yield search | {"json": {"query": CANARY, "filter": {CANARY: {CANARY: CANARY}}}}, 422, "invalid_request"
    yield search | {"json": {"query": f"bad key {CANARY}"}}, 500, "internal"
    yield search | {"json": {"id": f"{CANARY}?"}}, 404, "item_not_found"
    yield search | {"json": {"queries": [{"text": CANARY, CANARY: CANARY}]}}, 422, "invalid_request"
    yield search | {"files": {"file": b"?"}, "data": {"filter": CANARY}}, 422, "invalid_request"
    yield search | {"json": {"query": CANARY}, "headers": {"Authorization": f"Bearer {CANARY}"}}, 401, "unauthorized"
    yield search | {"json": {"embedding": [1.0], "space": CANARY}}, 409, "space_mismatch"
    yield {"method": "GET", "url": f"/index?{CANARY}"}, 200, None
    yield {"method": "GET", "url": f"/items?{CANARY}={CANARY}"}, 422, "invalid_request"
    yield {"method": "GET", "url": f"/items?limit={CANARY}"}, 422, "invalid_request"
    yield {"method": "GET", "url": f"/items/{CANARY}"}, 200, None
    yield {"method": "GET", "url": f"/items/{CANARY}?%3F{CANARY}"}, 200, None
    yield {"method": "GET", "url": f"/items/{CANARY}%3F"}, 404, "item_not_found"
    yield {"method": "DELETE", "url": f"/items/{CANARY}%2F{CANARY}?{CANARY}"}, 200, None
    yield {"method": "DELETE", "url": f"/items/{CANARY}"}, 200, None


def hang_up(port: int) -> None:
    """Ask for a long list and be gone before there is an answer."""
    body = json.dumps({"texts": [f"{CANARY} number {number}" for number in range(256)]}).encode()
    head = f"POST /embed/text?{CANARY} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: "
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)


def break_off(port: int) -> None:
    """Begin what is no HTTP."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{CANARY} {CANARY}\r\n\r\n".encode())
        connection.recv(4096)


@pytest.fixture(scope="module")
def sent() -> list[tuple[int, int, str | None]]:
    """Of every request: the status that it got, and the status and code that it should have."""
    return []


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int, str | None]]) -> str:
    """All that a service has said that was asked all this."""
    folder = tmp_path_factory.mktemp("canaries")
    reflecting = RawHost(lambda connection: connection.sendall(f"HTTP/1.1 200 OK\r\n{CANARY}\x00\r\n\r\n".encode()))
    with (folder / "log").open("wb") as log, closing(Host()) as host, closing(reflecting) as raw:
        host.answers["/picture.png"] = redirect(host.url(f"/picture.png?{CANARY}"))
        host.answers["/elsewhere.png"] = redirect(f"http://user:{CANARY}@127.0.0.1/a.png?{CANARY}")
        with (
            service(folder, log.fileno()) as url,
            httpx.Client(base_url=url, headers=AUTHORIZED, timeout=30) as client,
        ):
            for case, status, code in [*of_texts(), *of_images(host, raw), *of_the_index(host)]:
                sent.append((client.request(**case).status_code, status, code))
            port = httpx.URL(url).port or 0
            break_off(port)
            hang_up(port)
    return (folder / "log").read_text()


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_every_line_from_the_first_to_the_last_is_json(said: str) -> None:
    told = lines(said)

    assert {"app.cli", "app.requests", "gunicorn.error", "uvicorn.error", "py.warnings"} <= {
        line["logger"] for line in told
    }
    assert all({"event", "level", "timestamp"} <= set(line) for line in told)


def test_every_request_is_one_line_with_its_status_and_code(said: str, sent: list[tuple[int, int, str | None]]) -> None:
    told = [line for line in lines(said) if line["event"] == "request" and line["route"] not in ("/health", "/live")]

    answered = [(line["status"], line["code"]) for line in told if line["code"] != "hung_up"]
    assert answered == [(status, code) for _, status, code in sent]
    assert [got for got, _, _ in sent] == [status for _, status, _ in sent]
    assert [line["status"] for line in told if line["code"] == "hung_up"] == [499]


def test_a_defect_leaves_its_traceback_under_the_id_of_its_request(said: str) -> None:
    told = lines(said)

    defects = [line for line in told if line["event"] == "a defect"]
    assert [line["exception"].splitlines()[-1] for line in defects] == [
        "ValueError", *["RuntimeError: the engine broke"] * 3
    ]  # fmt: skip
    failed = [line["request_id"] for line in told if line.get("status") == 500]
    assert [line["request_id"] for line in defects] == failed


def test_nothing_that_callers_sent_is_in_any_line(said: str) -> None:
    assert CANARY not in said
    assert TOKEN not in said


def test_a_person_at_a_terminal_reads_lines_and_sees_no_more_than_others(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read() -> None:
        with suppress(OSError):  # what a terminal gives when its other end is closed
            while data := os.read(ours, 65536):
                seen.extend(data)

    watching = threading.Thread(target=read)
    watching.start()
    with service(tmp_path, theirs) as url:
        for kind in ("value", "key"):
            httpx.post(f"{url}/embed-text", json={"query": f"bad {kind} {CANARY}"}, headers=AUTHORIZED, timeout=30)
    os.close(theirs)
    watching.join()
    os.close(ours)

    said = seen.decode()
    assert "a defect" in said
    assert "RuntimeError: the engine broke" in said
    assert not [line for line in said.splitlines() if line.startswith("{")]
    assert CANARY not in said
    assert TOKEN not in said
