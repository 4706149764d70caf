"""The page over HTTP: what is shown, what is found, what is said when something goes wrong."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from app.embeddings import EmbeddingModel
from app.errors import IndexUnavailable
from app.gallery.asking import PAGE, as_picture
from app.gallery.pages import WALL
from app.gallery.rendering import STATIC, STATIC_FILES
from app.main import create_app
from app.search.store import DEEPEST
from app.serving import State
from PIL import Image
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving
from tests.gallery import policies
from tests.gallery.conftest import ARTISTS, SEARCHES, SIXTY, encoded, filled, noise, unit
from tests.gallery.markup import Page, parameters, read
from tests.test_endpoints import as_png
from tests.test_status import state

PICTURE = noise(70, 50, seed=7)
NOTHING: Mapping[str, Any] = {}
HTMX = "Qp9rdC8H7EqOoX+nR0P3RPG2Noji+qdwJlGpfzwQJsfOpp3sGwIdSP9xO3+UlEhn"

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
# Ids are what addresses are made of.
HOSTILE: dict[str, dict[str, Any]] = {
    "a/../b?c=d&e=f#g%2F+h": {"title": EVIL, "artist": EVIL, "medium": EVIL, EVIL: EVIL, "description": EVIL},
    "line\nbreak\r\n'\"<b>": {"title": "two\nlines\r\nand\ttabs", "url": "javascript:alert(1)", "page_url": "data:,x"},
    EVIL: {},
    "long": {"title": "x" * 10_000, "artist": "y " * 4000, "notes": "z" * 8000},
    "letters": {"title": "🖼️ 星月夜 \u202egnissim", "artist": "مها", "year": 1889},
    "nested": {
        "title": {"en": "A"},
        "artist": [["x"]],
        "image": {"path": {"a": 1}, "width": "wide"},
        "tags": [1, None],
    },
    "nothing": {},
    "numbers": {"title": 1984, "artist": True, "year": 1.5e300, "image": 17, "url": 5, "width": -1, "height": 0},
    "url": {"url": 'https://media.example.org/a.jpg?b="><script>alert(1)</script>', "title": "A picture"},
    "bare": {"image": {"path": "../../../../etc/passwd"}, "page_url": "https://user:secret@media.example.org/'\""},
}


@pytest.fixture(scope="module")
def hostile(
    serving: Serving, make_settings: MakeSettings, model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The page of items whose metadata was written by somebody who wants to do harm, or can't write metadata."""
    url = filled(tmp_path_factory.mktemp("hostile"), model, HOSTILE, list(unit(len(HOSTILE))))
    with serving(make_settings(index_url=url, gallery_access="public", gallery_title=EVIL)) as client:
        yield client


@pytest.fixture
def other(serving: Serving, make_settings: MakeSettings, tmp_path: Path) -> Iterator[TestClient]:
    """The page of an index into which nothing was put yet, with low limits for pictures."""
    changes: dict[str, Any] = {"max_image_bytes": 20_000, "max_body_bytes": 30_000, "max_image_pixels": 100_000}
    with serving(make_settings(index_url=f"faiss://{tmp_path}", gallery_access="public", **changes)) as client:
        yield client


def shown(
    client: TestClient, status: int = 200, path: str = "", refined: Mapping[str, Any] = NOTHING, **asked: Any
) -> Page:
    """The page that is answered; `refined` are parameters whose names Python doesn't take."""
    answer = client.get(f"/gallery{path}", params={**asked, **refined})
    assert answer.status_code == status, answer.text
    return read(answer)


def found(client: TestClient, **body: Any) -> list[tuple[str, str]]:
    """What the API finds: ids, and cosines as the page writes them."""
    answer = client.post("/search", json=body, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    return [(each["id"], f"{each['score']:.3f}") for each in answer.json()["results"]]


def results(page: Page) -> list[tuple[str, str]]:
    return list(zip(page.works, page.scores, strict=True))


def test_the_first_screen_has_a_wall_and_proposes_searches(gallery: TestClient) -> None:
    page = shown(gallery)

    assert page.heading == "The sixty"
    assert [(tag.text, parameters(tag["href"])) for tag in page.all("a", class_="example")] == [
        (example, {"q": example}) for example in SEARCHES
    ]
    assert len(page.works) == WALL
    assert set(page.works) <= set(SIXTY)
    assert page.scores == []


def test_it_says_how_much_is_searched_and_by_what(gallery: TestClient, model: EmbeddingModel) -> None:
    footer = shown(gallery).one("footer").text

    assert "60 pictures" in footer
    assert f"space {model.space}" in footer
    assert "(laion2b_s34b_b79k)" in footer


def test_results_are_those_of_the_api_in_its_order_with_three_decimals(gallery: TestClient) -> None:
    page = shown(gallery, q=SEARCHES[0])

    assert results(page) == found(gallery, query=SEARCHES[0], k=PAGE)
    assert page.one("input", id="q")["value"] == SEARCHES[0]
    assert page.one("title").text == f"{SEARCHES[0]} – The sixty"


def test_more_pictures_are_the_next_ones_and_then_there_are_no_more(gallery: TestClient) -> None:
    first = shown(gallery, q=SEARCHES[0])

    assert first.more is not None
    second = read(gallery.get(first.more))

    assert results(first) + results(second) == found(gallery, query=SEARCHES[0], k=60)
    assert second.more is None
    assert second.one("ol", class_="wall")["start"] == "49"
    assert "Pictures 49 to 60" in second.one("p", id="status").text


def test_beyond_the_last_there_are_no_more(gallery: TestClient) -> None:
    page = shown(gallery, q=SEARCHES[0], offset=96)

    assert page.works == []
    assert "No more pictures" in page.text


def test_more_pictures_keep_what_is_asked_for(gallery: TestClient) -> None:
    page = shown(gallery, q="dogs", refined={"not": "people", "from.year": "1851", "f.artist": ARTISTS[0]}, offset=0)
    assert page.more is None  # a third of sixty

    page = shown(gallery, q="dogs", refined={"not": "people", "from.year": "1851"})

    assert page.more is not None
    assert parameters(page.more) == {"q": "dogs", "not": "people", "from.year": "1851", "offset": "48"}


def test_where_an_index_can_be_asked_no_further_more_pictures_end(
    gallery: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = state(gallery).index
    search = searcher.search

    async def endless(*arguments: Any, **options: Any) -> Any:
        some = await search(*arguments, **options | {"offset": 0})
        return some[: min(options["k"], DEEPEST - options["offset"])]

    monkeypatch.setattr(searcher, "search", endless)
    page, pages = shown(gallery, q="dogs", offset=DEEPEST - 10 * PAGE), 1
    while page.more is not None and pages < 20:
        page, pages = read(gallery.get(page.more)), pages + 1

    assert page.more is None
    assert pages == 9


def test_a_picture_of_the_collection_can_be_searched_with(gallery: TestClient) -> None:
    page = shown(gallery, like="work-10")

    assert results(page) == found(gallery, id="work-10", k=PAGE)
    assert "work-10" not in page.works
    assert "like “The work 10”" in page.text
    assert page.one("input", name="like")["value"] == "work-10"


def test_a_picture_and_words_are_mixed(gallery: TestClient) -> None:
    queries = [{"id": "work-10"}, {"text": "at night"}, {"text": "people", "weight": -0.5}]

    page = shown(gallery, like="work-10", q="at night", refined={"not": "people"})

    assert results(page) == found(gallery, queries=queries, k=PAGE)


def test_words_to_avoid_alone_rank_nothing(gallery: TestClient) -> None:
    assert shown(gallery, refined={"not": "people"}).scores == []


def test_values_can_be_chosen_and_say_how_often_they_are_there(gallery: TestClient) -> None:
    page = shown(gallery, q="dogs")

    assert [tag["value"] for tag in page.all("input", name="f.artist")] == list(ARTISTS)
    assert f"{ARTISTS[0]} 20" in page.text
    assert [tag["placeholder"] for tag in page.all("input", type="number")] == ["1850", "1909"]


def test_only_what_has_a_chosen_value_is_found(gallery: TestClient) -> None:
    page = shown(gallery, q="dogs", refined={"f.artist": [ARTISTS[0], ARTISTS[1]], "f.on_show": "yes"})

    expected = {"artist": list(ARTISTS[:2]), "on_show": True}
    assert results(page) == found(gallery, query="dogs", filter=expected, k=PAGE)
    assert [tag["value"] for tag in page.all("input", type="checkbox") if "checked" in tag.attributes] == [
        ARTISTS[0],
        ARTISTS[1],
        "yes",
    ]


def test_only_what_is_within_bounds_is_found(gallery: TestClient) -> None:
    page = shown(gallery, q="dogs", refined={"from.year": "1860", "to.year": "1862"})

    assert sorted(page.works) == ["work-10", "work-11", "work-12"]
    assert page.one("input", name="from.year")["value"] == "1860"


@pytest.mark.parametrize(
    "outdated", [{"f.owner": "me"}, {"from.price": "3"}, {"from.year": "old"}, {"page": "3"}, {"offset": "-1"}]
)
def test_what_no_longer_is_is_not_filtered_by(gallery: TestClient, outdated: dict[str, str]) -> None:
    assert results(shown(gallery, q="dogs", refined=outdated)) == results(shown(gallery, q="dogs"))


def test_a_filter_that_nothing_fits_can_be_taken_away(gallery: TestClient) -> None:
    page = shown(gallery, q="dogs", refined={"from.year": "2020"})

    assert page.works == []
    assert "Nothing found" in page.text
    (way_out,) = [tag["href"] for tag in page.all("a") if tag.text == "Search all pictures"]
    assert parameters(way_out) == {"q": "dogs"}


def test_a_filter_that_no_search_could_have_is_a_page_too(gallery: TestClient) -> None:
    shown(gallery, 422, q="dogs", refined={"from.year": "1e308"})


def test_an_item_has_all_that_is_known_of_it_and_what_is_near_to_it(gallery: TestClient) -> None:
    page = shown(gallery, path="/item", id="work-10")

    assert page.heading == "The work 10"
    assert page.one("title").text == "The work 10 – The sixty"
    facts = dict(zip([tag.text for tag in page.all("dt")], [tag.text for tag in page.all("dd")], strict=True))
    assert facts == {
        "title": "The work 10", "artist": ARTISTS[1], "year": "1860", "on show": "no", "room": "0", "id": "work-10"
    }  # fmt: skip
    assert results(page) == found(gallery, id="work-10", k=24)
    assert page.all("img")[0]["alt"] == f"The work 10, {ARTISTS[1]}, 1860"


def test_pictures_take_up_their_room_before_they_are_there(gallery: TestClient) -> None:
    picture = next(
        tag for tag in shown(gallery, q="dogs").all("img") if parameters(tag["src"])["id"] in ("work-10", "work-20")
    )

    assert (picture["width"], picture["height"], picture["loading"]) == ("90", "60", "lazy")


def test_an_item_without_a_picture_shows_its_title(gallery: TestClient) -> None:
    page = shown(gallery, path="/item", id="work-11")

    assert not page.all("img", alt=f"The work 11, {ARTISTS[2]}, 1861")
    assert page.heading == "The work 11"


@pytest.mark.parametrize("item", ["work-99", "", " ", "x" * 513, "nul\0", "half\ud800"])
@pytest.mark.parametrize("path", ["/item", "/thumbnail", "/original"])
def test_an_item_that_is_not_there_is_said_to_be_not_there(gallery: TestClient, path: str, item: str) -> None:
    answer = gallery.get(f"/gallery{path}?id={quote(item, errors='replace')}")

    assert answer.status_code == 404
    assert read(answer).heading == "Not here"


@pytest.mark.parametrize("item", ["work-99", "x" * 513, "nul\0"])
def test_what_is_near_to_no_item_is_not_there(gallery: TestClient, item: str) -> None:
    assert shown(gallery, 404, like=item).heading == "Not here"


@pytest.mark.parametrize("path", ["/nothing", "/item/work-10", "/static/layout.html", "/picture"])
def test_a_path_that_leads_nowhere_is_a_page(gallery: TestClient, path: str) -> None:
    assert shown(gallery, 404, path).heading == "Not here"


def test_a_slash_too_much_does_no_harm(gallery: TestClient) -> None:
    assert results(shown(gallery, path="/", q="dogs")) == results(shown(gallery, q="dogs"))


@pytest.mark.parametrize("path", ["", "?q=dogs", "/item?id=work-10", "/thumbnail?id=work-10", "/static/gallery.css"])
def test_head_says_what_get_would(gallery: TestClient, path: str) -> None:
    head, get = gallery.head(f"/gallery{path}"), gallery.get(f"/gallery{path}")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_pages_arent_shown_again_without_asking(gallery: TestClient) -> None:
    assert gallery.get("/gallery?q=dogs").headers["cache-control"] == "private, no-cache"


def test_the_page_isnt_in_the_description_of_the_api(gallery: TestClient) -> None:
    assert "gallery" not in gallery.get("/openapi.json").text


def test_a_browser_that_comes_to_the_service_is_sent_to_the_page(gallery: TestClient) -> None:
    answer = gallery.get("/", headers={"Accept": "text/html,*/*;q=0.8"}, follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "/gallery")
    assert gallery.get("/", headers={"Accept": "*/*"}).json()["service"] == "tate-embeddings"


def test_a_browser_is_sent_to_the_documentation_where_there_is_no_page(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    browser = {"Accept": "text/html"}
    without_password = TestClient(create_app(make_settings(index_url=f"faiss://{tmp_path}")))
    without_index = TestClient(create_app(make_settings(gallery_access="public")))

    for client in (without_password, without_index):
        assert client.get("/", headers=browser, follow_redirects=False).headers["location"] == "/docs"


def test_links_lead_through_a_proxy_that_puts_the_page_below_a_path(gallery: TestClient) -> None:
    below = TestClient(gallery.app, root_path="/tate")

    page = read(below.get("/tate/gallery?q=dogs"))

    links = [
        tag.attributes[name] for tag in page.tags for name in ("href", "src", "action", "hx-get", "hx-post")
        if tag.attributes.get(name, "").startswith("/")
    ]  # fmt: skip
    assert links
    assert {link[:13] for link in links} == {"/tate/gallery"}
    assert below.get("/tate/gallery/static/gallery.css").status_code == 200


def test_a_browser_is_sent_to_the_page_below_that_path(gallery: TestClient) -> None:
    below = TestClient(gallery.app, root_path="/tate", follow_redirects=False)

    assert below.get("/tate/", headers={"Accept": "text/html"}).headers["location"] == "/tate/gallery"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("PUT", "/item"), ("DELETE", "/item"), ("POST", "/nothing")]
)
def test_what_no_page_does_is_refused(gallery: TestClient, method: str, path: str) -> None:
    answer = gallery.request(method, f"/gallery{path}")

    assert answer.status_code == 405
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "text/html" not in answer.headers["content-type"]


# What others have written


@pytest.mark.parametrize("item", HOSTILE)
def test_whatever_an_item_is_its_page_is_harmless(hostile: TestClient, item: str) -> None:
    page = shown(hostile, path="/item", id=item)

    assert len(page.works) == len(HOSTILE) - 1


@pytest.mark.parametrize("item", HOSTILE)
def test_whatever_an_item_is_what_is_near_to_it_can_be_shown(hostile: TestClient, item: str) -> None:
    page = shown(hostile, like=item)

    assert sorted(page.works) == sorted(HOSTILE.keys() - {item})
    assert page.one("input", name="like")["value"] == item


def test_links_lead_to_the_items_that_they_stand_at(hostile: TestClient) -> None:
    page = shown(hostile)

    assert set(page.works) == set(HOSTILE)
    for link in page.all("a", class_="picture"):
        facts = [tag.text for tag in read(hostile.get(link["href"])).all("dd")]
        assert facts[-1] == " ".join(parameters(link["href"])["id"].split())


def test_metadata_is_shown_as_it_is_written(hostile: TestClient) -> None:
    page = shown(hostile, path="/item", id="a/../b?c=d&e=f#g%2F+h")

    assert page.heading == EVIL
    assert EVIL in [tag.text for tag in page.all("dt")]


@pytest.mark.parametrize("field", ["q", "not", "like", "picture", "f.<b>", "from.year", "offset", EVIL])
def test_whatever_an_address_asks_for_the_page_is_harmless(hostile: TestClient, field: str) -> None:
    answer = hostile.get("/gallery", params={"q": "dogs", field: EVIL})

    assert answer.status_code in (200, 404, 422)
    assert read(answer).one("input", id="q")["value"] == (EVIL if field == "q" else "dogs")


@pytest.mark.parametrize("words", ["x" * 20_000, "\0", "🖼️" * 100, "\u202eabc", "a\nb", "   . "])
def test_whatever_is_searched_for_something_is_found(hostile: TestClient, words: str) -> None:
    assert len(shown(hostile, q=words).works) == len(HOSTILE)


def test_no_picture_is_loaded_from_elsewhere(hostile: TestClient) -> None:
    (picture,) = [tag for tag in shown(hostile).all("img") if parameters(tag["src"])["id"] == "url"]

    assert picture["src"].startswith("/gallery/thumbnail?")


def test_the_original_is_left_for_without_saying_from_where(hostile: TestClient) -> None:
    leaving = [tag for tag in shown(hostile).all("a") if tag["href"].startswith("http")]

    assert leaving
    assert all(tag["rel"] == "noreferrer" for tag in leaving)


def test_with_hotlinks_pictures_come_from_where_they_are_and_scripts_dont(
    serving: Serving, make_settings: MakeSettings, model: EmbeddingModel, tmp_path: Path
) -> None:
    items: dict[str, dict[str, Any]] = {
        "url": {"url": "https://media.example.org/a.jpg"},
        "path": {"image": {"path": "a.jpg"}},
    }
    url = filled(tmp_path, model, items, list(unit(2)))
    with serving(make_settings(index_url=url, gallery_access="public", gallery_hotlink=True)) as client:
        answer = client.get("/gallery")

    assert 'src="https://media.example.org/a.jpg"' in answer.text
    assert 'src="/gallery/thumbnail?id=path' in answer.text
    policy = policies.directives(answer)
    assert policy["img-src"] == ["'self'", "data:", "https:", "http:"]
    assert policy["script-src"] == ["'self'"]


# A visitor's picture


def post(client: TestClient, files: Any, **options: Any) -> Any:
    return client.post("/gallery/picture", files=files, follow_redirects=False, **options)


@pytest.mark.parametrize("data", [as_png(PICTURE), encoded(PICTURE, quality=95)], ids=["png", "jpeg"])
def test_a_picture_leads_to_what_the_api_finds_by_it(gallery: TestClient, data: bytes) -> None:
    answer = post(gallery, {"file": ("a.jpg", data)})

    assert answer.status_code == 303
    page = read(gallery.get(answer.headers["location"]))
    api = gallery.post("/search", files={"file": ("a.jpg", data)}, data={"k": "48"}, headers=AUTHORIZED).json()
    by_id = {each["id"]: each["score"] for each in api["results"]}
    assert page.works[:10] == [each["id"] for each in api["results"]][:10]
    assert all(abs(float(score) - by_id[item]) < 0.002 for item, score in results(page) if item in by_id)
    assert "like your picture" in page.text


def test_words_that_were_entered_come_along_with_a_picture(gallery: TestClient) -> None:
    answer = post(gallery, {"file": ("a.png", as_png(PICTURE))}, data={"q": "at night", "not": "people"})

    asked = parameters(answer.headers["location"])
    assert (asked["q"], asked["not"]) == ("at night", "people")


def test_a_visitors_picture_can_be_taken_away_again(gallery: TestClient) -> None:
    address = post(gallery, {"file": ("a.png", as_png(PICTURE))}).headers["location"]

    page = read(gallery.get(f"{address}&q=dogs"))

    (without,) = [tag["href"] for tag in page.all("a") if tag.attributes.get("aria-label") == "Without this picture"]
    assert parameters(without) == {"q": "dogs"}


@pytest.mark.parametrize(
    ("files", "status", "heading"),
    [
        ({"file": ("", b"")}, 422, "That can't be searched for"),
        ({"file": ("a.jpg", b"")}, 422, "That can't be searched for"),
        ({"image": ("a.jpg", b"abc")}, 422, "That can't be searched for"),
        ({"file": (None, b"abc")}, 422, "That can't be searched for"),
        ([("file", ("a.jpg", b"abc")), ("file", ("b.jpg", b"abc"))], 422, "That can't be searched for"),
        ({"file": ("a.txt", b"words and no picture")}, 422, "That is no picture"),
        ({"file": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, 422, "This kind of picture can't be read"),
        ({"file": ("a.jpg", encoded(noise(70, 50))[:900])}, 422, "This picture is damaged"),
        ({"file": ("a.png", as_png(Image.new("RGB", (400, 400))))}, 422, "This picture is too large"),
        ({"file": ("a.bin", b"x" * 20_001)}, 413, "This file is too large"),
        ({"file": ("a.bin", b"x" * 40_000)}, 413, "This file is too large"),
    ],
    ids=["none", "empty", "field", "text", "two", "words", "svg", "corrupt", "pixels", "bytes", "body"],
)
def test_a_file_that_cant_be_searched_with_is_refused_with_advice(
    other: TestClient, files: Any, status: int, heading: str
) -> None:
    answer = post(other, files)

    assert answer.status_code == status
    page = read(answer)
    assert page.heading == heading
    assert page.all("form", id="by-picture")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "multipart/form-data"}, 422),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 422),
    ],
)
def test_what_is_no_form_is_refused_with_a_page(gallery: TestClient, headers: dict[str, str], status: int) -> None:
    answer = gallery.post("/gallery/picture", content=b"file=abc", headers=headers)

    assert answer.status_code == status
    assert read(answer).all("form", id="by-picture")


def test_a_picture_finds_nothing_where_there_is_nothing(other: TestClient) -> None:
    answer = post(other, {"file": ("a.png", as_png(noise(30, 30)))})

    assert read(other.get(answer.headers["location"])).works == []


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (lambda picture: picture[:-1], 422),
        (lambda picture: picture[:-8], 409),
        (lambda picture: f"another{picture}", 409),
        (lambda _: "nonsense", 422),
        (lambda _: EVIL, 422),
        (lambda picture: picture * 20, 422),
    ],
)
def test_a_damaged_picture_in_an_address_is_a_page(
    gallery: TestClient, model: EmbeddingModel, damage: Any, status: int
) -> None:
    picture = damage(as_picture(unit(1)[0], model.space))

    page = shown(gallery, status, picture=picture)

    assert page.heading in ("That can't be searched for", "Being rearranged")


# When it can't be


def test_an_empty_index_says_so(other: TestClient) -> None:
    assert shown(other).heading == "No pictures yet"


def test_in_an_empty_index_nothing_is_found(other: TestClient) -> None:
    assert "Nothing found" in shown(other, q="dogs", refined={"f.artist": "Ada"}).text


@pytest.fixture
def loading(make_settings: MakeSettings, index_url: str) -> TestClient:
    """The page of a service that isn't started: no model loads."""
    return TestClient(create_app(make_settings(index_url=index_url, gallery_access="public")))


@pytest.mark.parametrize("path", ["", "?q=dogs", "?like=work-10"])
def test_while_the_model_loads_the_page_asks_for_patience_and_comes_again(loading: TestClient, path: str) -> None:
    answer = loading.get(f"/gallery{path}")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    page = read(answer)
    assert page.heading == "One moment, please"
    assert page.all("meta", **{"http-equiv": "refresh"})[0]["content"] == "5"


def test_a_picture_that_came_too_early_isnt_asked_for_again_by_itself(loading: TestClient) -> None:
    answer = post(loading, {"file": ("a.png", as_png(PICTURE))})

    assert answer.status_code == 503
    assert not read(answer).all("meta", **{"http-equiv": "refresh"})


def test_a_service_that_stops_takes_no_searches(gallery: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state(gallery).embedder, "state", State.DRAINING)

    assert shown(gallery, 503, q="dogs").heading == "One moment, please"


def test_an_index_that_doesnt_answer_is_a_page_and_then_all_is_well_again(
    gallery: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise IndexUnavailable("The index doesn't answer.")

    with monkeypatch.context() as patch:
        patch.setattr(state(gallery).index, "search", fails)
        assert shown(gallery, 503, q="dogs").heading == "Out of reach"
    assert shown(gallery, q="dogs").works


def test_a_defect_is_a_page_that_tells_nothing(gallery: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(state(gallery).index, "search", fails)
    answer = gallery.get("/gallery?q=dogs")

    assert answer.status_code == 500
    assert read(answer).heading == "Something went wrong"
    assert TOKEN not in answer.text


def test_an_index_of_another_model_is_being_rearranged(
    serving: Serving, make_settings: MakeSettings, model: EmbeddingModel, tmp_path: Path
) -> None:
    class Other:
        space = "another"

    url = filled(tmp_path, Other(), {"a": {}}, list(unit(1)))  # type: ignore[arg-type]  # all that is read of a model
    with serving(make_settings(index_url=url, gallery_access="public")) as client:
        assert shown(client, 409, q="dogs").heading == "Being rearranged"
        assert shown(client).works == ["a"]


# Files of the page


@pytest.mark.parametrize("name", sorted(STATIC_FILES))
def test_files_of_the_page_are_kept_for_good_by_their_version_only(gallery: TestClient, name: str) -> None:
    links = [tag.attributes.get("src") or tag.attributes.get("href", "") for tag in shown(gallery).tags]
    linked = next((link for link in links if f"/static/{name}" in link), None)

    unversioned = gallery.get(f"/gallery/static/{name}")

    assert unversioned.content == (STATIC / name).read_bytes()
    assert "immutable" not in unversioned.headers["cache-control"]
    assert unversioned.headers["x-content-type-options"] == "nosniff"
    if linked:
        assert gallery.get(linked).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert linked or name.endswith(".txt")


def test_scripts_and_styles_are_what_they_say(gallery: TestClient) -> None:
    kinds = {name: gallery.get(f"/gallery/static/{name}").headers["content-type"] for name in STATIC_FILES}

    assert kinds["gallery.css"].startswith("text/css")
    assert kinds["gallery.js"].startswith("text/javascript")
    assert kinds["icon.svg"].startswith("image/svg+xml")


def test_htmx_is_the_file_that_was_released() -> None:
    (file,) = STATIC.glob("htmx-*.min.js")

    assert base64.b64encode(hashlib.sha384(file.read_bytes()).digest()).decode() == HTMX
