"""What a page says and where it leads, read as a browser reads it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.gallery import policies

Attributes = dict[str, str]

VOID = {"meta", "link", "input", "img", "br"}
# What makes a browser load something as part of a page.
LOADING = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


@dataclass
class Tag:
    """A tag with all the text that is in it."""

    name: str
    attributes: Attributes
    text: str = ""

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute]


@dataclass
class Page:
    """A page's tags, in their order."""

    tags: list[Tag] = field(default_factory=list)

    def all(self, name: str, /, **attributes: str) -> list[Tag]:
        """The tags of a name that have such attributes; `class_` stands for `class`."""
        wanted = {attribute.rstrip("_"): value for attribute, value in attributes.items()}
        return [tag for tag in self.tags if tag.name == name and wanted.items() <= tag.attributes.items()]

    def one(self, name: str, /, **attributes: str) -> Tag:
        """The one tag of a name that has such attributes."""
        (tag,) = self.all(name, **attributes)
        return tag

    @property
    def text(self) -> str:
        """What there is to read."""
        return self.one("body").text

    @property
    def heading(self) -> str:
        return self.all("h1")[0].text

    @property
    def works(self) -> list[str]:
        """The ids of the pictures that are shown, in their order."""
        return [parameters(link["href"])["id"] for link in self.all("a", class_="picture")]

    @property
    def scores(self) -> list[str]:
        """The cosines as they can be read."""
        return [tag.text for tag in self.all("span") if tag.attributes.get("title", "").startswith("the cosine")]

    @property
    def more(self) -> str | None:
        """Where more pictures are."""
        return next((tag["href"] for tag in self.all("a") if tag.text == "More pictures"), None)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._open: list[Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Tag(tag, {name: value or "" for name, value in attrs})
        self.page.tags.append(found)
        if tag not in VOID:
            self._open.append(found)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].name == tag, f"</{tag}> closes <{self._open[-1].name}>"
        closed = self._open.pop()
        closed.text = " ".join(closed.text.split())

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            tag.text += data


def read(answer: Any) -> Page:
    """The page of an answer, which must be one that a browser can trust: strict headers, nothing inline, all closed."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8", answer.text
    policies.check(answer)
    reader = _Reader()
    reader.feed(answer.text)
    reader.close()
    assert not reader._open
    page = reader.page
    check(page)
    return page


def check(page: Page) -> None:
    """Nothing of a page runs or styles but files of its own, nothing loads from elsewhere, no link runs anything."""
    for tag in page.tags:
        for attribute, value in tag.attributes.items():
            assert attribute != "style"
            assert not attribute.startswith(("on", "hx-on")), tag
            if attribute in ("href", "src", "action", "formaction", "hx-get", "hx-post"):
                assert urlsplit(value).scheme in ("", "http", "https"), tag
        if tag.name in LOADING:
            assert urlsplit(tag.attributes.get(LOADING[tag.name], "")).netloc == "", tag
        if tag.name == "script":
            assert not tag.text.strip()
            assert "/gallery/static/" in tag["src"]
        assert tag.name not in ("style", "iframe", "object", "embed", "base", "svg")


def parameters(address: str) -> dict[str, str]:
    """What an address asks for."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(address).query, keep_blank_values=True).items()}
