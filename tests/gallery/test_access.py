"""Who sees the page: nobody, everybody, or who knows the password."""

import time
from collections.abc import Callable, Iterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from app.gallery import access
from app.gallery.access import COOKIE, GOOD_FOR_S, MISTAKES
from app.main import create_app
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving
from tests.gallery.conftest import encoded, noise
from tests.gallery.markup import read

PASSWORD = "correct horse battery staple"
PATHS = ["", "?q=dogs", "/item?id=work-10", "/thumbnail?id=work-10", "/original?id=work-10", "/nothing", "/picture"]

Make = Callable[..., TestClient]


@pytest.fixture(scope="module")
def make(make_settings: MakeSettings, index_url: str) -> Make:
    """Makes the page behind a password. It isn't started: who is let in is told to wait for the model."""

    def client(**changes: Any) -> TestClient:
        settings = make_settings(**{"index_url": index_url, "gallery_password": PASSWORD} | changes)
        return TestClient(create_app(settings), follow_redirects=False)

    return client


@pytest.fixture(scope="module")
def guarded(make: Make) -> TestClient:
    """The page that the tests of this file share; nobody gets its password wrong."""
    return make()


@pytest.fixture(scope="module")
def searchable(
    serving: Serving, make_settings: MakeSettings, index_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The same of a service that is ready."""
    kept = tmp_path_factory.mktemp("thumbnails")
    with serving(make_settings(index_url=index_url, gallery_password=PASSWORD, gallery_cache_dir=kept)) as client:
        yield client


@pytest.fixture(autouse=True)
def _nobody_is_in(guarded: TestClient, searchable: TestClient) -> None:
    for client in (guarded, searchable):
        client.cookies.clear()


def enter(client: TestClient, password: str = PASSWORD, back: str = "", **headers: str) -> Any:
    return client.post(
        "/gallery/enter", data={"password": password, "back": back}, headers=headers, follow_redirects=False
    )


def cookie_of(answer: Any) -> Morsel[str]:
    """The cookie that an answer sets."""
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


def ticket(client: TestClient) -> str:
    """What the cookie of somebody who has entered says."""
    value = cookie_of(enter(client)).value
    client.cookies.clear()
    return value


def admits(client: TestClient, cookie: str) -> bool:
    """Whether a page lets somebody in who has this cookie."""
    status = client.get("/gallery", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code
    assert status in (401, 503)  # no model is loaded
    return status == 503


@pytest.mark.parametrize("changes", [{"gallery_password": ""}, {"index_url": ""}])
@pytest.mark.parametrize("path", ["", "/enter", "/static/gallery.css"])
def test_without_an_index_or_a_password_there_is_no_page(make: Make, changes: dict[str, str], path: str) -> None:
    answer = make(**changes).get(f"/gallery{path}")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_a_public_page_asks_nobody_for_a_password(make: Make) -> None:
    public = make(gallery_access="public")

    assert public.get("/gallery").status_code == 503
    assert public.get("/gallery/enter").headers["location"] == "/gallery"


@pytest.mark.parametrize("path", PATHS)
def test_whoever_isnt_in_is_asked_for_the_password(searchable: TestClient, path: str) -> None:
    answer = searchable.get(f"/gallery{path}")

    assert answer.status_code == searchable.head(f"/gallery{path}").status_code == 401
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "set-cookie" not in answer.headers
    assert read(answer).all("input", type="password")


def test_whoever_isnt_in_searches_by_no_picture(searchable: TestClient) -> None:
    answer = searchable.post("/gallery/picture", files={"file": ("a.jpg", encoded(noise(9, 9)))})

    assert answer.status_code == 401
    assert read(answer).one("input", name="back")["value"] == ""


@pytest.mark.parametrize("path", PATHS)
def test_whoever_isnt_in_learns_nothing_of_the_collection(searchable: TestClient, path: str) -> None:
    text = searchable.get(f"/gallery{path}").text

    assert not any(told in text for told in ("The work", "Impasto", "60 pictures", "local-dir", "space", "1850"))


def test_files_of_the_page_itself_are_open(guarded: TestClient) -> None:
    assert guarded.get("/gallery/static/gallery.css").status_code == 200


def test_the_password_lets_a_visitor_in(searchable: TestClient) -> None:
    answer = enter(searchable)

    assert (answer.status_code, answer.headers["location"]) == (303, "/gallery")
    for path, kind in (("", "text/html"), ("/item?id=work-10", "text/html"), ("/original?id=work-10", "image/jpeg")):
        page = searchable.get(f"/gallery{path}")
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, kind)


def test_a_picture_that_not_everybody_may_see_is_kept_by_browsers_only(searchable: TestClient) -> None:
    enter(searchable)

    for path in ("thumbnail", "original"):
        kept = searchable.get(f"/gallery/{path}?id=work-10").headers["cache-control"]
        assert kept.split(", ")[0] == "private"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: TestClient) -> None:
    cookie = cookie_of(enter(guarded))

    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/gallery"
    assert int(cookie["max-age"]) == GOOD_FOR_S
    assert not cookie["secure"]
    assert not cookie["domain"]


def test_the_cookie_is_for_the_path_that_a_proxy_shows_the_page_at(make: Make) -> None:
    below = TestClient(make().app, root_path="/tate", follow_redirects=False)

    answer = below.post("/tate/gallery/enter", data={"password": PASSWORD})

    assert (cookie_of(answer)["path"], answer.headers["location"]) == ("/tate/gallery", "/tate/gallery")


def test_behind_https_the_cookie_stays_behind_it(make: Make) -> None:
    assert cookie_of(enter(make(), **{"X-Forwarded-Proto": "https"}))["secure"]
    assert cookie_of(enter(TestClient(make().app, "https://gallery.example.org")))["secure"]


def test_the_cookie_says_nothing_but_until_when(guarded: TestClient) -> None:
    until, signature = ticket(guarded).split(".")

    assert abs(int(until) - time.time() - GOOD_FOR_S) < 60
    assert len(bytes.fromhex(signature)) == 32


def test_whoever_leaves_is_out(searchable: TestClient) -> None:
    enter(searchable)

    answer = searchable.post("/gallery/leave", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (303, "/gallery")
    assert searchable.get("/gallery").status_code == 401


@pytest.mark.parametrize(
    "forge",
    [
        lambda until, signature: "",
        lambda until, signature: until,
        lambda until, signature: f"{until}.",
        lambda until, signature: f".{signature}",
        lambda until, signature: f"{int(until) + 1}.{signature}",
        lambda until, signature: f"{until}.{signature[:-1]}0{signature[-1]}",
        lambda until, signature: f"{until}.{'0' * 64}",
        lambda until, signature: f"{until}.{signature.upper()}",
        lambda until, signature: f" {until}.{signature}.",
        lambda until, signature: "9" * 5000 + f".{signature}",
        lambda until, signature: f"{TOKEN}.{PASSWORD.replace(' ', '+')}",
    ],
)
def test_a_cookie_that_is_not_ours_lets_nobody_in(guarded: TestClient, forge: Callable[[str, str], str]) -> None:
    until, signature = ticket(guarded).split(".")
    assert admits(guarded, f"{until}.{signature}")

    assert not admits(guarded, forge(until, signature))


def test_a_cookie_is_good_until_it_says(guarded: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie, now = ticket(guarded), time.time()

    monkeypatch.setattr(access, "time", lambda: now + GOOD_FOR_S - 60)
    assert admits(guarded, cookie)
    monkeypatch.setattr(access, "time", lambda: now + GOOD_FOR_S + 60)
    assert not admits(guarded, cookie)


def test_another_password_lets_nobody_in_who_had_entered_the_old_one(make: Make) -> None:
    assert not admits(make(gallery_password="another password"), ticket(make()))


def test_another_token_lets_nobody_in_who_had_entered_before(make: Make) -> None:
    assert not admits(make(auth_token=["another-secret-of-the-tests"]), ticket(make()))


def test_while_the_old_token_is_listed_everybody_stays_in(make: Make) -> None:
    both = make(auth_token=["another-secret-of-the-tests", TOKEN])

    assert admits(both, ticket(make()))
    assert not admits(make(), ticket(both))


def test_a_cookie_of_another_instance_with_the_same_settings_is_good(make: Make) -> None:
    assert admits(make(), ticket(make()))


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), f" {PASSWORD}", PASSWORD[:-1], TOKEN, "pässwörd"])
def test_a_wrong_password_is_said_to_be_wrong(make: Make, password: str) -> None:
    answer = enter(make(), password)

    assert answer.status_code == 401
    page = read(answer)
    assert page.one("p", role="alert").text == "That is not the password."
    assert "value" not in page.one("input", type="password").attributes
    assert "set-cookie" not in answer.headers


def test_a_password_of_any_letters_is_one(make: Make) -> None:
    assert enter(make(gallery_password='żółć & 100% + =;" 🖼'), 'żółć & 100% + =;" 🖼').status_code == 303


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"password", b"=&=&", b"password[]=x", b"a=b&" * 10_000])
def test_a_form_that_is_none_has_no_password(make: Make, body: bytes) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    assert make().post("/gallery/enter", content=body, headers=form).status_code == 401


def test_a_form_that_is_too_large_is_not_read(guarded: TestClient) -> None:
    assert guarded.post("/gallery/enter", content=b"x" * 70_000).status_code == 413


def test_guessing_comes_to_an_end(make: Make) -> None:
    client = make()

    answers = [enter(client, f"guess {number}") for number in range(MISTAKES.requests + 1)]

    assert [answer.status_code for answer in answers] == [401] * MISTAKES.requests + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= MISTAKES.seconds
    assert "Too many attempts" in read(answers[-1]).one("p", role="alert").text
    assert enter(client).status_code == 429  # and whether it is right isn't told


def test_one_who_guesses_keeps_nobody_else_out(make: Make) -> None:
    app = make().app
    guessing, other = (TestClient(app, client=(host, 1), follow_redirects=False) for host in ("10.0.0.1", "10.0.0.2"))
    for number in range(MISTAKES.requests + 1):
        enter(guessing, f"guess {number}")

    assert (enter(guessing).status_code, enter(other).status_code) == (429, 303)


def test_many_who_guess_together_come_to_an_end_too(make: Make) -> None:
    app = make().app
    together = [TestClient(app, client=(f"10.0.0.{number}", 1), follow_redirects=False) for number in range(7)]

    answers = [enter(client, f"guess {number}") for client in together for number in range(MISTAKES.requests)]

    assert [answer.status_code for answer in answers] == [401] * 60 + [429] * 10


def test_the_right_password_can_be_entered_as_often_as_one_likes(make: Make) -> None:
    client = make()

    for _ in range(2 * MISTAKES.requests):
        client.cookies.clear()
        assert enter(client).status_code == 303


@pytest.mark.parametrize("query", ["?q=a+stormy+sea&f.artist=Ada", "/item?id=work-10"])
def test_whoever_was_led_somewhere_gets_there(guarded: TestClient, query: str) -> None:
    entrance = read(guarded.get(f"/gallery{query}"))

    answer = enter(guarded, back=entrance.one("input", name="back")["value"])

    assert answer.headers["location"] == f"/gallery{query}"


def test_whoever_was_led_somewhere_through_a_proxy_gets_there(make: Make) -> None:
    below = TestClient(make().app, root_path="/tate", follow_redirects=False)
    entrance = read(below.get("/tate/gallery/item?id=work-10"))
    form = {"password": PASSWORD, "back": entrance.one("input", name="back")["value"]}

    answer = below.post(entrance.one("form")["action"], data=form)

    assert answer.headers["location"] == "/tate/gallery/item?id=work-10"


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example.org/",
        "//evil.example.org/",
        "/\\evil.example.org",
        "@evil.example.org",
        ".evil.example.org",
        "/../docs",
        "/leave",
        "/thumbnail?id=work-10",
        "javascript:alert(1)",
        "\r\nSet-Cookie: a=b",
    ],
)
@pytest.mark.parametrize("is_in", [True, False])
def test_nobody_is_led_elsewhere(guarded: TestClient, back: str, is_in: bool) -> None:
    if is_in:
        enter(guarded)

    assert enter(guarded, back=back).headers["location"] == "/gallery"


@pytest.mark.parametrize("back", ["?q=a\r\nSet-Cookie: a=b", '/item?id="><script>', "?\\\\evil.example.org", "?é🖼"])
def test_a_way_back_stays_one_address(guarded: TestClient, back: str) -> None:
    answer = enter(guarded, back=back)

    location = answer.headers["location"]
    assert urlsplit(location)[:2] == ("", "")
    assert location.startswith("/gallery")
    assert not set(location) & set('\r\n<>"\\')
    assert set(SimpleCookie(answer.headers["set-cookie"])) == {COOKIE}


def test_whoever_was_in_the_middle_of_something_is_led_to_the_entrance_and_back(guarded: TestClient) -> None:
    answer = guarded.get("/gallery?q=dogs&offset=48", headers={"HX-Request": "true"})

    assert answer.status_code == 401
    led = urlsplit(answer.headers["hx-redirect"])
    assert (led.path, parse_qs(led.query)) == ("/gallery/enter", {"back": ["?q=dogs&offset=48"]})
    entrance = read(guarded.get(answer.headers["hx-redirect"]))
    assert entrance.one("input", name="back")["value"] == "?q=dogs&offset=48"


def test_who_just_opens_the_page_is_not_led_by_htmx(guarded: TestClient) -> None:
    assert "hx-redirect" not in guarded.get("/gallery").headers


def test_a_token_of_the_api_is_not_the_way_in(guarded: TestClient) -> None:
    assert guarded.get("/gallery", headers=AUTHORIZED).status_code == 401


def test_the_cookie_is_not_the_way_to_the_api(searchable: TestClient) -> None:
    enter(searchable)
    cookie = searchable.cookies.get(COOKIE)

    answer = searchable.post("/search", json={"query": "dogs"}, headers={"Cookie": f"{COOKIE}={cookie}"})

    assert answer.status_code == 401


def test_no_answer_has_a_secret_in_it(searchable: TestClient) -> None:
    answers = [searchable.get("/gallery"), enter(searchable, "wrong"), enter(searchable)]
    answers += [searchable.get(f"/gallery{path}") for path in [*PATHS, "?like=nothing", "?picture=x"]]

    for answer in answers:
        told = answer.text + str(answer.headers)
        assert TOKEN not in told
        assert PASSWORD not in told


def test_no_secret_is_written_into_the_log(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    client = make()
    enter(client, "a wrong guess")
    cookie = cookie_of(enter(client)).value

    written = "".join(capsys.readouterr())

    assert not any(secret in written for secret in ("a wrong guess", PASSWORD, TOKEN, cookie))


def test_a_short_password_is_warned_of(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for password, expected in (("short", 1), ("x" * 16, 0)):
        caplog.clear()
        create_app(make_settings(index_url=f"faiss://{tmp_path}", gallery_password=password))
        assert sum("GALLERY_PASSWORD is shorter" in line for line in caplog.messages) == expected
