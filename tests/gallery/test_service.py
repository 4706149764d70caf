"""The page alone, before a service somewhere else: the same page, as long as that answers."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from app import cli
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.errors import SettingsError
from app.gallery.service import create_page
from app.main import create_app
from starlette.testclient import TestClient

from tests.conftest import TOKEN, MakeSettings, unused_port
from tests.gallery.conftest import encoded, noise
from tests.gallery.markup import Page, read

WAIT_S = 60.0
PAGES = [
    "",
    "?q=a+stormy+sea+at+night",
    "?q=dogs&offset=48",
    "?q=dogs&not=people&f.artist=Ada+Impasto&from.year=1860&to.year=1890&f.on_show=yes",
    "?like=work-10&q=at+night",
    "?q=dogs&from.year=2020",
    "/item?id=work-10",
    "/item?id=nothing",
    "?like=nothing",
    "?picture=nonsense",
    "/nothing",
]

Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="module")
def serve(model: EmbeddingModel, make_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Serves the API, with the page beside it, on a port of loopback."""

    @contextmanager
    def serve(port: int, **changes: Any) -> Iterator[str]:
        kept = tmp_path_factory.mktemp("thumbnails")
        settings = make_settings(**{"gallery_access": "public", "gallery_cache_dir": kept} | changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.main.EmbeddingModel", lambda *_, **__: model)
            server = uvicorn.Server(uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_config=None))
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                yield _when_ready(f"http://127.0.0.1:{port}")
            finally:
                server.should_exit = True
                thread.join(20)

    return serve


def _when_ready(address: str) -> str:
    deadline, pace = time.monotonic() + WAIT_S, threading.Event()
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                return address
        except httpx.HTTPError:
            pass
        pace.wait(0.02)
    raise AssertionError("the service isn't ready")


@pytest.fixture(scope="module")
def address(serve: Serve, index_url: str) -> Iterator[str]:
    """Where the sixty works are served."""
    with serve(unused_port(), index_url=index_url) as address:
        yield address


@pytest.fixture(scope="module")
def make(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[TestClient]]:
    """Makes the page alone."""

    @contextmanager
    def alone(api_url: str, **changes: Any) -> Iterator[TestClient]:
        usual = {
            "auth_token": [TOKEN],
            "gallery_access": "public",
            "gallery_pictures_dir": folder,
            "gallery_cache_dir": tmp_path_factory.mktemp("thumbnails"),
        }
        with TestClient(create_page(Settings.load(**usual | changes), api_url)) as client:
            yield client

    return alone


@pytest.fixture(scope="module")
def alone(make: Any, address: str) -> Iterator[TestClient]:
    """The page alone, before the sixty works."""
    with make(address) as client:
        yield client


def said(page: Page) -> Any:
    """All that a page says, but how long it took."""
    shown = [(tag.name, tag.attributes, tag.text) for tag in page.tags if tag.name in ("a", "img", "input", "dt", "dd")]
    return page.heading, page.works, page.scores, shown, page.one("footer").text


@pytest.mark.parametrize("path", PAGES)
def test_it_is_the_same_page_as_beside_the_api(alone: TestClient, address: str, path: str) -> None:
    beside = httpx.get(f"{address}/gallery{path}")

    answer = alone.get(f"/gallery{path}")

    assert answer.status_code == beside.status_code
    assert said(read(answer)) == said(read(beside))


def test_a_picture_finds_the_same_as_beside_the_api(alone: TestClient, address: str) -> None:
    files = {"file": ("a.png", encoded(noise(60, 40, 3), "PNG"))}

    beside = httpx.post(f"{address}/gallery/picture", files=files, follow_redirects=True)
    answer = alone.post("/gallery/picture", files=files)

    assert answer.status_code == beside.status_code == 200
    assert read(answer).works == read(beside).works


def test_a_file_that_is_no_picture_is_refused_with_advice(alone: TestClient) -> None:
    answer = alone.post("/gallery/picture", files={"file": ("a.txt", b"words")})

    assert (answer.status_code, read(answer).heading) == (422, "That is no picture")


def test_it_makes_thumbnails_itself(alone: TestClient) -> None:
    answer = alone.get("/gallery/thumbnail?id=work-10", headers={"Accept": "image/webp"})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")


def test_it_lives_and_is_well_while_the_service_is(alone: TestClient) -> None:
    live, health = alone.get("/live"), alone.get("/health")

    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert (health.status_code, health.json()) == (200, {"status": "healthy"})


def test_whoever_comes_to_it_is_led_to_the_page(alone: TestClient) -> None:
    answer = alone.get("/", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "/gallery")


def test_it_has_nothing_of_the_api(alone: TestClient) -> None:
    for path in ("/docs", "/openapi.json", "/metrics", "/index"):
        assert alone.get(path).status_code == 404
    assert alone.post("/search").status_code == 404


def test_no_answer_says_where_the_service_is_or_by_which_token_it_is_asked(alone: TestClient, address: str) -> None:
    for path in ["/health", *(f"/gallery{path}" for path in PAGES)]:
        answer = alone.get(path)
        assert TOKEN not in answer.text + str(answer.headers)
        assert address not in answer.text + str(answer.headers)


def test_it_asks_for_a_password_too(make: Any, address: str) -> None:
    with make(address, gallery_access="password", gallery_password="a password of the tests") as client:
        assert client.get("/gallery?q=dogs").status_code == 401
        client.post("/gallery/enter", data={"password": "a password of the tests"})
        assert read(client.get("/gallery?q=dogs")).works


def test_without_the_service_it_asks_for_patience_and_goes_on_once_that_answers(
    make: Any, serve: Serve, index_url: str
) -> None:
    port = unused_port()
    with make(f"http://127.0.0.1:{port}") as client:
        answer, health = client.get("/gallery?q=dogs"), client.get("/health")
        assert (answer.status_code, read(answer).heading) == (503, "One moment, please")
        assert read(answer).all("meta", **{"http-equiv": "refresh"})
        assert (health.status_code, health.json()) == (503, {"status": "loading"})
        assert client.get("/live").status_code == 200

        with serve(port, index_url=index_url):
            assert len(read(client.get("/gallery?q=dogs")).works) == 48
            assert client.get("/health").status_code == 200


def test_a_token_that_the_service_doesnt_know_is_said_in_the_log_only(
    make: Any, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with make(address, auth_token=["another-secret-of-the-tests"]) as client:
        answer = client.get("/gallery")

    assert (answer.status_code, read(answer).heading) == (503, "One moment, please")
    assert any("AuthenticationError" in line for line in caplog.messages)
    assert not any("another-secret" in line for line in caplog.messages)


def test_before_a_service_without_an_index_it_asks_for_patience(make: Any, serve: Serve) -> None:
    with serve(unused_port()) as address, make(address) as client:
        assert client.get("/gallery").status_code == 503


def test_an_index_into_which_nothing_was_put_has_no_pictures_yet(make: Any, serve: Serve, tmp_path: Path) -> None:
    with serve(unused_port(), index_url=f"faiss://{tmp_path}") as address, make(address) as client:
        assert read(client.get("/gallery")).heading == "No pictures yet"
        assert "Nothing found" in read(client.get("/gallery?q=dogs")).text
        by_picture = client.post("/gallery/picture", files={"file": ("a.png", encoded(noise(9, 9), "PNG"))})
        assert read(by_picture).heading == "No pictures yet"


# How it starts, and doesn't


@pytest.mark.parametrize(
    ("url", "changes", "said"),
    [
        ("", {}, "VECTOR_API_URL is missing"),
        ("http://vector_api:8000", {"auth_token": []}, "AUTH_TOKEN is missing"),
        ("http://vector_api:8000", {"gallery_access": "password"}, "GALLERY_PASSWORD is missing"),
        ("vector_api:8000", {}, "VECTOR_API_URL is wrong"),
        ("ftp://vector_api", {}, "VECTOR_API_URL is wrong"),
        ("http://", {}, "VECTOR_API_URL is wrong"),
        ("http://[::1", {}, "VECTOR_API_URL is wrong"),
    ],
)
def test_without_what_it_needs_it_doesnt_start(url: str, changes: dict[str, Any], said: str) -> None:
    settings = Settings.load(**{"auth_token": [TOKEN], "gallery_access": "public"} | changes)

    with pytest.raises(SettingsError) as error:
        create_page(settings, url)

    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)
    assert TOKEN not in str(error.value)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, dict[str, Any]]]]:
    """Runs the command, but for serving; its status, and what would be served and how."""
    served: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: served.update(options, app=app))

    def run(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return cli.main(["gallery", *arguments]), served

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def test_the_command_serves_it_where_the_settings_say(run: Any) -> None:
    environment = {"AUTH_TOKEN": TOKEN, "GALLERY_ACCESS": "public", "PORT": "8123", "HOST": "127.0.0.1"}

    status, served = run("--api", "http://127.0.0.1:9", **environment)

    assert (status, served["host"], served["port"]) == (0, "127.0.0.1", 8123)
    assert served["server_header"] is False
    assert TestClient(served["app"]).get("/live").status_code == 200


def test_the_command_takes_the_service_from_the_environment(run: Any) -> None:
    status, _ = run(AUTH_TOKEN=TOKEN, GALLERY_ACCESS="public", VECTOR_API_URL="http://127.0.0.1:9")

    assert status == 0


@pytest.mark.parametrize(
    "environment",
    [
        {"GALLERY_ACCESS": "public", "VECTOR_API_URL": "http://127.0.0.1:9"},
        {"AUTH_TOKEN": TOKEN, "VECTOR_API_URL": "http://127.0.0.1:9"},
        {"AUTH_TOKEN": TOKEN, "GALLERY_ACCESS": "public"},
        {"AUTH_TOKEN": TOKEN, "GALLERY_ACCESS": "public", "VECTOR_API_URL": "nonsense"},
        {"AUTH_TOKEN": TOKEN, "GALLERY_ACCESS": "everybody", "VECTOR_API_URL": "http://127.0.0.1:9"},
    ],
)
def test_the_command_ends_in_one_line_where_something_is_missing(
    run: Any, capsys: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    status, served = run(**environment)

    (line,) = capsys.readouterr().err.splitlines()
    assert (status, served) == (1, {})
    assert line.startswith("tate-embeddings: ")
    assert TOKEN not in line
