"""The example does what its README says: real processes, and a browser."""

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from app.demo.artworks import artwork, collection
from app.demo.gallery import FIRST_SEED
from app.demo.painter import paint
from app.demo.scene import imagine
from playwright.sync_api import Browser, expect

from tests.callers.conftest import running
from tests.clients.django_example.conftest import ARTWORKS, Site, managed, served, started
from tests.gallery.browser import Visitor, launched
from tests.gallery.test_in_browser import violations
from tests.search.stores import postgresql

pytestmark = pytest.mark.slow

NEW_SEED = FIRST_SEED + 10_000
KINDS = {work.id: work.kind for _, work in collection(FIRST_SEED, ARTWORKS)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Somebody who may have nothing to complain of in the end."""
    visitor = Visitor(browser, f"{site.url}/")
    yield visitor
    visitor.context.close()
    assert visitor.complaints == []


def test_a_visitor_finds_pictures_of_what_they_say(visitor: Visitor) -> None:
    page = visitor.goto()

    page.get_by_role("searchbox").fill("portrait of a woman")
    page.get_by_role("button", name="Search").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Pictures of portrait of a woman")
    works = page.locator(".artwork a")
    expect(works).to_have_count(24)
    nearest = [work.get_attribute("href") or "" for work in works.all()[:3]]
    assert {KINDS[slug.strip("/")] for slug in nearest} == {"portrait"}
    scores = [float(text) for text in page.locator(".score data").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert works.locator("img").first.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100


def test_an_artwork_shows_others_like_it(visitor: Visitor) -> None:
    page = visitor.goto()
    portrait = next(slug for slug, kind in KINDS.items() if kind == "portrait")

    page.goto(f"{visitor.address}{portrait}/")

    alike = page.get_by_role("region", name="More like this").locator(".artwork a")
    slugs = [(work.get_attribute("href") or "").strip("/") for work in alike.all()]
    assert len(slugs) == 5
    assert portrait not in slugs
    assert KINDS[slugs[0]] == "portrait"


def test_axe_finds_nothing_grave(visitor: Visitor) -> None:
    page = visitor.goto()

    for place in ("", "demo-0001/", "search/?q=sea"):
        page.goto(f"{visitor.address}{place}")
        assert violations(page) == []


def test_an_artwork_that_an_editor_publishes_is_found_after_the_next_update(site: Site) -> None:
    scene = imagine(NEW_SEED)
    work = artwork(9999, scene)
    picture = site.data / "new.jpg"
    paint(scene, 640).save(picture)

    with httpx.Client(base_url=site.url, follow_redirects=True, timeout=30) as editor:
        send(editor, "/admin/login/", {"username": "curator", "password": "curator"})
        send(editor, "/admin/images/add/", {"title": work.title, "tags": ""}, file=picture)
        image = max(map(int, re.findall(r"/admin/images/(\d+)/", editor.get("/admin/images/").text)))
        (walls,) = set(re.findall(r"/admin/pages/(\d+)/edit/", editor.get("/admin/pages/1/").text))
        label = {"artist": work.artist, "year": str(work.year), "medium": work.medium, "caption": work.caption}
        fields = {"title": work.title, "slug": "new", "image": str(image), **label, "action-publish": "1"}
        send(editor, f"/admin/pages/add/museum/artworkpage/{walls}/", fields)
    assert httpx.get(f"{site.url}/new/").status_code == 200
    assert "new" not in site.found(work.caption)

    printed = managed(site.data, "update_embeddings", EMBEDDINGS_SERVICE_URL=site.service_url)

    assert f"{ARTWORKS + 1} rows, 1 vectors made" in printed
    assert site.found(work.caption)[0] == "new"


def test_wagtails_own_index_leaves_the_search_as_it_is(site: Site) -> None:
    before = site.found("mountains in winter")

    managed(site.data, "update_index")

    assert site.found("mountains in winter") == before != []


def test_a_second_start_finds_everything_there_and_ctrl_c_ends_all_of_it(site: Site) -> None:
    with started(site.data) as again:
        said = again.said()
        again.process.send_signal(signal.SIGINT)
        status = again.process.wait(30)

    assert said.startswith("0 artworks painted")
    assert " 0 vectors made" in said
    assert status == 0
    for url in (again.url, again.service_url):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_without_the_service_searches_find_nothing_and_all_else_is_there(site: Site, tmp_path: Path) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(running(tmp_path))
        with served(site.data, service.url, service.token) as alone:
            known = alone.found("a stormy sea")
            stack.close()

            assert alone.found("a red still life") == []
            assert "Nothing found" in httpx.get(f"{alone.url}/search/?q=a+red+still+life").text
            assert alone.found("a stormy sea") == known != []  # this one is remembered
            assert httpx.get(f"{alone.url}/").status_code == 200
            assert "More like this" in httpx.get(f"{alone.url}/demo-0001/").text
            assert "has no vector" in alone.said()


def test_postgresql_will_do_too(site: Site, tmp_path: Path) -> None:
    known = {"DATABASE_URL": postgresql.url(postgresql.new_database()), "EMBEDDINGS_SERVICE_URL": site.service_url}

    managed(tmp_path, "migrate", "--verbosity=0", **known)
    managed(tmp_path, "load_gallery", "--artworks=2", **known)

    assert "2 rows, 2 vectors made" in managed(tmp_path, "update_embeddings", **known)


def test_its_migrations_are_complete(data: Path) -> None:
    assert "No changes" in managed(data, "makemigrations", "--check", "--dry-run")


def send(editor: httpx.Client, path: str, fields: dict[str, str], file: Path | None = None) -> None:
    """Fill in a form of the admin and send it."""
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', editor.get(path).text)[0]
    files = {"file": (file.name, file.read_bytes(), "image/jpeg")} if file else None
    answer = editor.post(path, data={"csrfmiddlewaretoken": token, **fields}, files=files)
    assert answer.status_code == 200, answer.text
    assert answer.url.path != path, answer.text
