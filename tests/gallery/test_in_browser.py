"""The page as visitors see and use it: in a browser, before a service of real processes.

No test leaves its browser with an error, a violation of the policy or a request to somewhere else that it didn't cause
on purpose: `visitor` sees to that.
"""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, JSHandle, Locator, Page, Route, expect

from tests.callers.conftest import node_modules
from tests.gallery.browser import MOST_BYTES, Visitor, behind_a_password, demonstration, launched

pytestmark = pytest.mark.slow

PASSWORD = "what visitors know"
WIDTHS = (320, 768, 1440)
GRAVE = ("serious", "critical")
# What can be looked at: the first screen, what was found, one picture, what wasn't found.
SCREENS = {
    "the first screen": "",
    "results": "?q=a+stormy+sea",
    "results with filters": "?q=a+stormy+sea&not=people&f.kind=seascape&from.year=1880",
    "one picture": "/item?id=demo-0001",
    "like one picture": "?like=demo-0001&q=at+night",
    "nothing found": "?q=a+stormy+sea&f.kind=seascape&from.year=3000",
    "a problem": "/item?id=nobody",
}
MeetVisitor = Callable[..., Visitor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("painted")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with demonstration(folder) as address:
        yield address


@pytest.fixture(scope="module")
def closed_address(address: str, folder: Path) -> Iterator[str]:
    with behind_a_password(folder, PASSWORD) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def meet(browser: Browser, address: str) -> Iterator[MeetVisitor]:
    """Visitors whose browsers are set up in some way, and who may have nothing to complain of in the end."""
    visitors = []

    def met(address: str = address, **options: Any) -> Visitor:
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield met
    for visitor in visitors:
        visitor.context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture
def visitor(meet: MeetVisitor) -> Visitor:
    return meet()


@pytest.fixture
def plain(meet: MeetVisitor) -> Visitor:
    """Somebody whose browser runs no scripts."""
    return meet(java_script_enabled=False)


@pytest.fixture(scope="module")
def picture(folder: Path, address: str) -> Path:
    """A picture of the gallery, which is therefore nearest to itself."""
    return folder / "gallery" / "images" / "demo-0001.jpg"


# Typing


def test_typing_searches_in_place_once_somebody_pauses(visitor: Visitor) -> None:
    page = visitor.goto()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "?q=" in request.url else None)
    page.evaluate("window.same = true")
    page.clock.install()
    page.clock.pause_at("2100-01-01")

    for letter in "sea":
        page.locator("#q").press_sequentially(letter)
        page.clock.run_for(250)
    assert asked == []
    page.clock.run_for(50)
    page.clock.resume()

    expect(page.locator("#results h1")).to_have_text("Pictures of sea")
    expect(page).to_have_title(re.compile("^sea – "))
    assert asked == [page.url] == [f"{visitor.address}?q=sea"]
    assert page.evaluate("window.same")


def test_enter_searches_at_once(visitor: Visitor) -> None:
    page = visitor.goto()
    page.clock.install()
    page.clock.pause_at("2100-01-01")

    with page.expect_request(lambda request: request.url.endswith("?q=sea")):
        page.locator("#q").press_sequentially("sea\n")
    page.clock.resume()

    expect(page.locator("#results h1")).to_have_text("Pictures of sea")


def test_what_is_typed_is_one_step_however_often_somebody_pauses(visitor: Visitor) -> None:
    page = visitor.goto()
    before = steps(page)

    for words in ("a stormy sea", " at night", " in winter"):
        page.locator("#q").press_sequentially(words)
        expect_address(page, words.replace(" ", "+"))
    with page.expect_response("**?q=*"):
        page.locator("#q").press("Enter")
    expect(page.locator(".htmx-request")).to_have_count(0)

    assert steps(page) == before + 1
    page.go_back()
    expect(page).to_have_url(visitor.address)
    expect(page.locator("#q")).to_have_value("")
    expect(page.locator(".hero h1")).to_be_visible()


def test_words_to_avoid_are_one_step_too(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea&not=night")
    before = steps(page)

    page.locator("#not").fill("snow")
    expect_address(page, "not=snow")
    page.locator("#not").fill("snow and ice")
    expect_address(page, "not=snow+and+ice")

    assert steps(page) == before + 1


def test_back_leads_to_the_searches_before(visitor: Visitor) -> None:
    page = visitor.goto()
    page.locator("#q").press_sequentially("sea\n")
    expect_address(page, "q=sea")
    seas = titles(page)
    page.locator("#q").fill("a red still life")
    page.locator("#q").press("Enter")
    expect_address(page, "q=a+red+still+life")
    assert titles(page) != seas

    page.go_back()
    expect(page.locator("#q")).to_have_value("sea")
    assert titles(page) == seas
    page.go_forward()
    expect(page.locator("#q")).to_have_value("a red still life")


def test_an_address_shows_others_the_same(visitor: Visitor, meet: MeetVisitor) -> None:
    page = visitor.goto()
    page.locator("#q").fill("mountains in winter")
    expect_address(page, "q=mountains")

    other = meet().goto(page.url.removeprefix(visitor.address))

    assert titles(other) == titles(page)
    expect(other.locator("#q")).to_have_value("mountains in winter")


def test_a_new_search_shows_the_nearest_wherever_somebody_was(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    page.locator(".work").nth(40).scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 0

    page.locator("#q").fill("a mosaic of a woman")
    expect_address(page, "q=a+mosaic")

    expect(page.locator(".work").first).to_be_in_viewport()


def test_what_was_found_is_announced(visitor: Visitor) -> None:
    page = visitor.goto()
    status = page.get_by_role("status")

    page.locator("#q").fill("sea")
    expect(status).to_contain_text("Pictures 1 to 48, the nearest first")
    page.locator("#refine summary").click()
    page.get_by_role("checkbox", name="seascape").check()
    expect(status).to_contain_text(re.compile(r"^\s*\d+ pictures,\s+the nearest first"))
    page.get_by_label("from").fill("3000")
    expect(status).to_contain_text("Nothing found")


def test_a_service_that_is_gone_is_said_and_leaves_the_page_as_it_was(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    found = titles(page)

    visitor.context.set_offline(True)
    page.locator("#q").fill("a red still life")

    expect(page.get_by_role("status")).to_have_text("The search is out of reach right now. Please try again.")
    expect(page.locator("#status strong")).to_be_in_viewport()
    assert titles(page) == found
    visitor.complaints.clear()
    visitor.context.set_offline(False)
    page.locator("#q").press("Enter")
    expect(page.locator("#results h1")).to_have_text("Pictures of a red still life")


# The wall


def test_the_nearest_come_first(visitor: Visitor) -> None:
    page = visitor.goto("?q=a+stormy+sea")

    scores = [float(text) for text in page.locator(".score").all_inner_texts()]

    assert len(scores) == 48
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("width", [768, 1440, 2560])
def test_rows_are_as_wide_as_the_page_and_pictures_in_proportion(meet: MeetVisitor, width: int) -> None:
    page = meet(viewport={"width": width, "height": 900}).goto("?q=a+stormy+sea")

    works: list[dict[str, float]] = page.locator(".work").evaluate_all(
        """(works) => works.map((work) => {
          const [place, image] = [work.getBoundingClientRect(), work.querySelector("img")];
          const { width, height } = image.getBoundingClientRect();
          const own = image.getAttribute("width") / image.getAttribute("height");
          return { top: Math.round(place.top), right: place.right, ratio: width / height, own };
        })"""
    )

    rows: dict[float, float] = {}
    for work in works:
        rows[work["top"]] = max(work["right"], rows.get(work["top"], 0))
        assert work["ratio"] == pytest.approx(work["own"], rel=0.01)
    *full, _ = rows.values()
    assert max(full) - min(full) <= 2
    assert len(full) > 2


def test_nothing_moves_while_pictures_arrive(visitor: Visitor) -> None:
    page = visitor.goto("?q=a+stormy+sea")
    pictures = page.locator(".work img")
    for number in range(0, 41, 4):
        pictures.nth(number).scroll_into_view_if_needed()
    expect(pictures).to_have_count(64)
    for number in (0, 30, 47, 63):
        pictures.nth(number).scroll_into_view_if_needed()
        expect(pictures.nth(number)).to_have_js_property("complete", True)

    assert page.evaluate("window.shifted") < 0.02
    assert all(
        pictures.evaluate_all("(all) => all.map((each) => each.loading === 'lazy' && each.width && each.height)")
    )


def test_scrolling_brings_more(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    expect(page.locator(".work")).to_have_count(48)

    page.locator(".work").last.scroll_into_view_if_needed()

    expect(page.locator(".work")).to_have_count(64)
    expect(page.get_by_role("status")).to_contain_text("Pictures 49 to 64")
    expect(page.get_by_role("link", name="More pictures")).to_have_count(0)
    assert len(set(addresses(page))) == 64
    assert page.url.endswith("?q=sea")


def test_by_keyboard_more_is_a_link_that_leads_to_the_first_of_them(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    page.locator(".work").nth(47).locator("a").last.evaluate("(link) => link.focus({ preventScroll: true })")
    page.route("**offset=48*", hold := Held())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="More pictures")).to_be_focused()
    page.keyboard.press("Enter")
    hold.release()

    expect(page.locator(".work").nth(48).locator("a.picture")).to_be_focused()


def test_more_that_cannot_be_had_can_be_asked_for_again(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    page.route("**offset=48*", lambda route: route.fulfill(status=503, body="<p>not now", content_type="text/html"))

    page.locator(".work").last.scroll_into_view_if_needed()

    expect(page.get_by_role("status")).to_have_text("More pictures are out of reach right now. Please try again.")
    page.unroute("**offset=48*")
    page.get_by_role("link", name="More pictures").click()
    expect(page.locator(".work")).to_have_count(64)
    visitor.complaints.clear()


# Search by picture


def choose(page: Page, file: Path) -> None:
    page.locator("#file").set_input_files(file)


def drop(page: Page, file: Path) -> None:
    carried = carrying(page, file)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": carried})


def paste(page: Page, file: Path, text: str = "") -> None:
    page.evaluate(
        """([clipboardData, text]) => {
          if (text) clipboardData.setData("text/plain", text);
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        [carrying(page, file), text],
    )


@pytest.mark.parametrize("give", [choose, drop, paste])
def test_a_picture_finds_what_is_like_it(visitor: Visitor, picture: Path, give: Callable[[Page, Path], None]) -> None:
    page = visitor.goto("?q=sea")

    give(page, picture)

    expect_address(page, "picture=")
    expect_preview(page)
    expect(page.locator("#results h1")).to_have_text("Pictures like this")
    assert addresses(page)[0].endswith("id=demo-0001")
    expect(page.locator("#q")).to_have_value("")
    expect(page.locator(".dropping")).to_have_count(0)


def test_a_picture_that_was_searched_with_outlasts_reloading_and_back(visitor: Visitor, picture: Path) -> None:
    page = visitor.goto()
    choose(page, picture)
    expect_preview(page)
    found = titles(page)

    page.reload()
    expect_preview(page)
    assert titles(page) == found
    page.locator(".work a.picture").nth(1).click()
    expect(page.locator("article.item")).to_be_visible()
    page.go_back()
    expect_preview(page)
    assert titles(page) == found
    page.go_back()
    expect(page).to_have_url(visitor.address)


def test_words_and_words_to_avoid_go_with_a_picture(visitor: Visitor, picture: Path) -> None:
    page = visitor.goto()
    choose(page, picture)
    expect_preview(page)
    alone = titles(page)
    expect(page.locator("#q")).to_have_attribute("placeholder", "but …")

    page.locator("#q").fill("mountains in winter")
    expect_address(page, "picture=", "q=mountains")
    with_words = titles(page)
    page.locator("#refine summary").click()
    page.locator("#not").fill("snow")
    expect_address(page, "not=snow")

    assert len({tuple(alone), tuple(with_words), tuple(titles(page))}) == 3
    expect_preview(page)


def test_another_picture_begins_anew(visitor: Visitor, picture: Path) -> None:
    page = visitor.goto("?q=sea&not=night&f.kind=seascape&from.year=1880")

    choose(page, picture)
    expect_preview(page)

    expect(page.locator("#not")).to_have_value("")
    expect(page.get_by_label("from")).to_have_value("")
    expect(page.get_by_role("checkbox", name="seascape")).not_to_be_checked()
    assert set(addresses(page)) == set(addresses(visitor.goto(page.url.removeprefix(visitor.address))))


def test_words_that_are_typed_before_a_picture_is_answered_are_added_to_it(visitor: Visitor, picture: Path) -> None:
    page = visitor.goto("?q=sea")
    page.route("**/picture", hold := Held())
    choose(page, picture)

    page.locator("#q").fill("at night")
    expect(page).to_have_url(f"{visitor.address}?q=at+night")
    hold.release()

    expect_address(page, "picture=", "q=at+night")
    expect_preview(page)
    expect(page.locator("#q")).to_have_value("at night")


def test_text_that_is_pasted_with_a_picture_of_it_is_text(visitor: Visitor, picture: Path) -> None:
    page = visitor.goto()
    page.on("request", lambda request: visitor.complaints.append(request.url) if request.method == "POST" else None)

    paste(page, picture, text="A table")
    page.locator("#q").press_sequentially("sea\n")

    expect(page).to_have_url(f"{visitor.address}?q=sea")


def test_a_picture_can_be_taken_out_again(visitor: Visitor, picture: Path) -> None:
    page = visitor.goto()
    choose(page, picture)
    expect_preview(page)
    page.locator("#q").fill("sea")
    expect_address(page, "q=sea")

    page.get_by_role("link", name="Without this picture").click()

    expect(page).to_have_url(f"{visitor.address}?q=sea")
    expect(page.locator(".chip")).to_have_count(0)


def test_what_is_no_picture_is_refused_before_it_is_sent(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.goto("?q=sea")
    found = titles(page)
    page.on("request", lambda request: visitor.complaints.append(request.url) if request.method == "POST" else None)
    text, large = tmp_path / "a.txt", tmp_path / "large.png"
    text.write_text("no picture")
    large.write_bytes(bytes(MOST_BYTES + 1))

    choose(page, text)
    expect(page.get_by_role("status")).to_have_text("That is no picture.")
    expect(page.locator("#status strong")).to_be_in_viewport()
    choose(page, large)
    expect(page.get_by_role("status")).to_have_text("This picture is too large: at most 1 MB.")

    assert titles(page) == found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"no picture" * 10, "That is no picture", id="no picture"),
        pytest.param(bytes(MOST_BYTES + 1), "This file is too large", id="too large"),
    ],
)
def test_what_the_service_refuses_is_said_and_changes_neither_the_address_nor_the_picture_before(
    visitor: Visitor, picture: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    page = visitor.goto()
    choose(page, picture)
    expect_preview(page)
    before = page.url
    page.locator("#by-picture").evaluate("(form) => { form.dataset.mostBytes = 1e9; }")
    wrong = tmp_path / "wrong.png"
    wrong.write_bytes(content)

    choose(page, wrong)

    expect(page.get_by_role("status")).to_have_text(said)
    expect(page.locator(".problem h1")).to_have_text(said)
    assert page.url == before
    expect_preview(page)
    visitor.complaints.clear()


# One picture


def test_more_like_one_picture_is_a_search(visitor: Visitor) -> None:
    page = visitor.goto()
    work = page.locator(".work").first
    title = work.locator(".title > span").first.inner_text()

    work.get_by_role("link", name="More like").click()

    expect(page.locator(".chip")).to_contain_text(f"like “{title}”")
    expect(page).to_have_url(re.compile(r"\?like=demo-\d+$"))
    expect(page.locator(".work")).to_have_count(48)


def test_a_picture_is_shown_large_with_what_is_known_of_it_and_its_neighbours(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    title = page.locator(".work .title > span").first.inner_text()

    page.locator(".work a.picture").first.click()

    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator("article.item > img")).to_have_js_property("complete", True)
    assert page.locator("article.item > img").evaluate("(image) => image.naturalWidth") > 480
    expect(page.locator("article.item dl")).to_contain_text("artist")
    expect(page.locator(".work")).to_have_count(24)


def test_this_but_searches_from_one_picture(visitor: Visitor) -> None:
    page = visitor.goto("/item?id=demo-0001")

    page.get_by_label("This, but").fill("in winter")
    page.locator(".but").get_by_label("without").fill("people")
    page.locator(".but").get_by_role("button").click()

    expect(page).to_have_url(f"{visitor.address}?like=demo-0001&q=in+winter&not=people")
    expect(page.locator(".chip img")).to_be_visible()
    expect(page.locator("#q")).to_have_value("in winter")


def test_the_original_is_an_image(visitor: Visitor) -> None:
    page = visitor.goto("/item?id=demo-0001")

    with page.expect_navigation() as navigation:
        page.locator("article").get_by_role("link", name="Original").click()

    assert navigation.value is not None
    assert navigation.value.headers["content-type"] == "image/jpeg"
    assert page.locator("img").evaluate("(image) => image.naturalWidth") > 0


# Filters


def test_a_value_filters_in_place_and_stays_in_the_address(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    page.locator("#refine summary").click()

    page.get_by_role("checkbox", name="seascape").check()
    expect_address(page, "f.kind=seascape")
    seascapes = page.locator(".work").count()
    page.get_by_role("checkbox", name="portrait").check()
    expect_address(page, "f.kind=portrait")

    assert 0 < seascapes < page.locator(".work").count() < 48
    found = titles(page)
    page.reload()
    assert titles(page) == found
    expect(page.get_by_role("checkbox", name="seascape")).to_be_checked()


def test_who_filters_before_searching_is_told_that_it_takes_words(visitor: Visitor) -> None:
    page = visitor.goto()
    page.locator("#refine summary").click()

    page.get_by_role("checkbox", name="seascape").check()
    expect(page.get_by_role("status")).to_have_text(
        "What you have entered narrows a search: say what to look for, too."
    )
    page.locator("#q").fill("sea")

    expect_address(page, "f.kind=seascape", "q=sea")
    assert page.locator(".work").count() < 48


def test_back_takes_a_filter_away(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    page.locator("#refine summary").click()
    page.get_by_role("checkbox", name="seascape").check()
    expect_address(page, "f.kind=seascape")

    page.go_back()

    expect(page.locator(".work")).to_have_count(48)
    expect(page.get_by_role("checkbox", name="seascape", include_hidden=True)).not_to_be_checked()


def test_numbers_are_filtered_by_bounds(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")
    page.locator("#refine summary").click()

    page.get_by_label("from").fill("1900")
    expect_address(page, "from.year=1900")
    page.get_by_label("to", exact=True).fill("1940")
    expect_address(page, "to.year=1940")

    years = [
        int(match[1]) for by in page.locator(".work .by").all_inner_texts() if (match := re.search(r", (\d{4}),", by))
    ]
    assert len(years) == page.locator(".work").count() > 0
    assert 1900 <= min(years) <= max(years) <= 1940


def test_filters_are_cleared_and_the_words_are_not(visitor: Visitor) -> None:
    page = visitor.goto()
    page.locator("#q").fill("sea")
    expect_address(page, "q=sea")
    page.locator("#refine summary").click()
    page.get_by_role("checkbox", name="seascape").check()
    expect_address(page, "f.kind=seascape")

    page.get_by_role("link", name="Clear", exact=True).click()

    expect(page).to_have_url(f"{visitor.address}?q=sea")
    expect(page.locator(".work")).to_have_count(48)


# For everybody


def test_the_first_link_skips_to_the_pictures(visitor: Visitor) -> None:
    page = visitor.goto("?q=sea")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the pictures")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the pictures")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.locator(".work a.picture").first).to_be_focused()


@pytest.mark.parametrize(("key", "rest"), [("Tab", "?q=sea&f.style=oil&f.style=mosaic"), ("Shift+Tab", "?q=sea")])
def test_everything_is_reached_by_keyboard_and_seen_when_it_is(visitor: Visitor, key: str, rest: str) -> None:
    page = visitor.goto(rest)
    things = page.locator("a[href], button, input:not([type=hidden]), summary").filter(visible=True).count()

    reached: list[dict[str, Any]] = []
    for _ in range(things + 3):
        page.keyboard.press(key)
        reached.append(page.evaluate(FOCUSED))

    named = [each for each in reached if each["name"]]
    assert len({each["name"] for each in named}) >= things
    assert [each["name"] for each in named if not each["outlined"]] == []
    assert [each["name"] for each in named if each["covered"]] == []


def test_nothing_moves_for_those_who_do_not_want_it(meet: MeetVisitor) -> None:
    moving = {}
    for wish in ("reduce", "no-preference"):
        page = meet(reduced_motion=wish).goto()
        page.route("**?q=sea", hold := Held())
        page.locator("#q").fill("sea")
        expect(page.locator(".skeleton")).to_be_visible()
        moving[wish] = page.evaluate("document.getAnimations().length")
        hold.release()
        expect(page.locator("#results h1")).to_have_text("Pictures of sea")

    assert moving["reduce"] == 0 < moving["no-preference"]


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_grave(meet: MeetVisitor, screen: str) -> None:
    visitor = meet(bypass_csp=True)
    page = visitor.goto(SCREENS[screen])

    assert violations(page) == []
    if screen == "a problem":
        visitor.complaints.clear()


def test_axe_finds_nothing_grave_at_the_entrance(meet: MeetVisitor, closed_address: str) -> None:
    visitor = meet(closed_address, bypass_csp=True)
    page = visitor.goto("?q=sea")
    assert violations(page) == []

    page.get_by_label("Password").fill("a guess")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    assert violations(page) == []
    visitor.complaints.clear()

    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()
    expect(page).to_have_url(f"{closed_address}?q=sea")
    expect(page.locator(".work")).to_have_count(48)


def test_who_is_not_known_any_more_goes_on_where_they_were_after_the_entrance(
    meet: MeetVisitor, closed_address: str
) -> None:
    visitor = meet(closed_address)
    page = visitor.goto()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()
    visitor.context.clear_cookies()

    page.locator("#q").fill("sea")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()

    expect(page).to_have_url(f"{closed_address}?q=sea")
    expect(page.locator("#results h1")).to_have_text("Pictures of sea")
    visitor.complaints.clear()


@pytest.mark.parametrize("width", [320, 3840])
def test_no_page_is_wider_than_the_window(meet: MeetVisitor, width: int) -> None:
    visitor = meet(viewport={"width": width, "height": 800})
    wider = []
    for screen, rest in SCREENS.items():
        if visitor.goto(rest).evaluate("document.documentElement.scrollWidth > innerWidth"):
            wider.append(screen)
    visitor.complaints.clear()

    assert wider == []


def test_what_is_not_of_the_page_neither_runs_nor_is_loaded(visitor: Visitor) -> None:
    page = visitor.goto()

    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          const image = new Image();
          image.src = "http://127.0.0.1:1/a.png";
          document.body.append(image);
        }"""
    )

    page.wait_for_function("document.images[document.images.length - 1].complete")
    assert page.evaluate("window.ran") is None
    assert any("img-src forbids" in complaint for complaint in visitor.complaints)
    assert any("script-src-elem forbids" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()


# Without scripts


def test_without_scripts_words_are_searched_for_and_more_is_a_page(plain: Visitor) -> None:
    page = plain.goto()

    page.locator("#q").fill("sea")
    page.locator("#search").get_by_role("button", name="Search").click()
    expect(page.locator("#results h1")).to_have_text("Pictures of sea")
    expect(page.locator(".work")).to_have_count(48)
    page.get_by_role("link", name="More pictures").click()
    expect(page.get_by_role("status")).to_contain_text("Pictures 49 to 64")
    expect(page.locator(".work")).to_have_count(16)
    page.get_by_role("link", name="Back to the nearest").click()
    expect(page.locator(".work")).to_have_count(48)


def test_without_scripts_filters_are_applied(plain: Visitor) -> None:
    page = plain.goto("?q=sea")

    page.locator("#refine summary").click()
    page.get_by_role("checkbox", name="seascape").check()
    page.get_by_role("button", name="Apply").click()

    expect_address(page, "f.kind=seascape")
    expect(page.locator(".work")).not_to_have_count(48)
    page.get_by_role("link", name="Clear", exact=True).click()
    expect(page.locator(".work")).to_have_count(48)


def test_without_scripts_a_picture_is_searched_with(plain: Visitor, picture: Path) -> None:
    page = plain.goto()

    page.locator("#file").set_input_files(picture)
    page.locator("#by-picture").get_by_role("button", name="Search", exact=True).click()

    expect_address(page, "picture=")
    assert addresses(page)[0].endswith("id=demo-0001")
    page.locator("#q").fill("in winter")
    page.locator("#search").get_by_role("button", name="Search").click()
    expect_address(page, "picture=", "q=in+winter")


# What the tests say shortly

FOCUSED = """() => {
  const focused = document.activeElement;
  if (focused === document.body) return { name: "" };
  const outlined = (each) => each && parseFloat(getComputedStyle(each).outlineWidth) > 0
    && getComputedStyle(each).outlineStyle !== "none";
  const shown = focused.id === "file" ? focused.labels[0] : focused;
  const { left, top, width, height } = shown.getBoundingClientRect();
  const there = document.elementFromPoint(left + width / 2, top + height / 2);
  return {
    name: [...document.querySelectorAll("*")].indexOf(focused) + " " + focused.outerHTML.slice(0, 120),
    outlined: outlined(shown) || outlined(focused.closest(".box")),
    covered: !(there && (shown.contains(there) || there.contains(shown) || shown.parentElement.contains(there))),
  };
}"""


class Held:
    """A route whose answers wait until they are let go."""

    def __init__(self) -> None:
        self._waiting: list[Route] = []
        self._is_open = False

    def __call__(self, route: Route) -> None:
        if self._is_open:
            route.continue_()
        else:
            self._waiting.append(route)

    def release(self) -> None:
        self._is_open = True
        for route in self._waiting:
            route.continue_()


def titles(page: Page) -> list[str]:
    return page.locator("#results .work .title > span:first-child").all_inner_texts()


def addresses(page: Page) -> list[str]:
    links: list[str] = page.locator("#results .work a.picture").evaluate_all("(all) => all.map((each) => each.href)")
    return links


def steps(page: Page) -> int:
    length: int = page.evaluate("history.length")
    return length


def expect_address(page: Page, *parts: str) -> None:
    """See these parts in the address, in any order, and what it shows in its place."""
    expect(page).to_have_url(re.compile("^" + "".join(f"(?=.*{re.escape(part)})" for part in parts)))
    expect(page.locator(".htmx-request")).to_have_count(0)


def expect_preview(page: Page) -> None:
    preview: Locator = page.locator("#preview")
    expect(preview).to_be_visible()
    expect(preview).to_have_attribute("src", re.compile("^data:image/"))


def carrying(page: Page, file: Path) -> JSHandle:
    """A file on its way into the page."""
    return page.evaluate_handle(
        """(data) => {
          const carried = new DataTransfer();
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          carried.items.add(new File([bytes], "a.jpg", { type: "image/jpeg" }));
          return carried;
        }""",
        base64.b64encode(file.read_bytes()).decode(),
    )


def violations(page: Page) -> list[str]:
    """What axe finds grave of a page, at any width, by day and by night."""
    page.add_script_tag(content=(node_modules() / "axe-core" / "axe.min.js").read_text())
    found = set()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for each in page.evaluate("axe.run().then((done) => done.violations)"):
                if each["impact"] in GRAVE:
                    found |= {f"{each['id']}: {node['html'][:200]}" for node in each["nodes"]}
    return sorted(found)
