"""`deploy/compose.yaml` at work: its four services as processes, over a list whose pictures lie on loopback."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.catalogue.conftest import picture
from tests.conftest import AUTHORIZED, TOKEN
from tests.deploy.composed import PACE_S, SERVICES, Composed
from tests.images.hosts import Host, content

pytestmark = pytest.mark.slow

# Two rounds, one of each command, and the two seconds in which the service finds what was put in.
SOON_S = 60

Compose = Callable[[str], Composed]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    host.answers |= {f"/{number}.png": content(picture(number)) for number in range(4)}
    yield host
    host.close()


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Services in a folder of their own, over a list that says something."""
    made = []

    def compose(listed: str) -> Composed:
        folder = tmp_path_factory.mktemp("composed")
        lists = folder / "lists"
        lists.mkdir()
        (lists / "works.csv").write_text(listed)
        variables = {
            "AUTH_TOKEN": TOKEN,
            "GALLERY_ACCESS": "public",
            "MODEL_NAME": "tiny-gallery",
            "PRECISION": "float32",
            "WORKERS": "1",
            "ALLOW_PRIVATE_NETWORKS": "true",
            "LISTS": str(lists),
            "LIST": "works.csv",
            "DOWNLOAD_EVERY": "1s",
            "EMBED_EVERY": "1s",
        }
        made.append(Composed(folder, variables))
        return made[-1]

    yield compose
    for each in made:
        each.down()


@pytest.fixture(scope="module")
def platform(compose: Compose, host: Host) -> Composed:
    """The services over two works, healthy; the page is started by the test that looks at it."""
    listed = [f"work-{number},{host.url(f'/{number}.png')},Number {number}" for number in range(2)]
    platform = compose("\n".join(["id,url,title", *listed, ""]))
    for name in ("downloader", "embedder", "vector_api"):
        platform.up(name)
        platform.until_healthy(name)
    return platform


def search(platform: Composed, **body: Any) -> list[dict[str, Any]]:
    answer = httpx.post(f"{platform.url('vector_api')}/search", json=body, headers=AUTHORIZED, trust_env=False)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def found_soon(platform: Composed, wanted: str) -> dict[str, Any]:
    """A work as a search finds it, once it does."""
    deadline = time.monotonic() + SOON_S
    pace = threading.Event()
    while True:
        found = {result["id"]: result for result in search(platform, query="a picture", k=100)}
        if wanted in found:
            return found[wanted]
        assert time.monotonic() < deadline, platform.log("downloader") + platform.log("embedder")
        pace.wait(PACE_S)


def test_a_work_of_the_list_is_downloaded_embedded_and_found(platform: Composed, host: Host) -> None:
    found = found_soon(platform, "work-1")

    assert found["metadata"]["title"] == "Number 1"
    assert found["metadata"]["url"] == host.url("/1.png")
    assert (platform.path("/data/artifacts") / found["metadata"]["image"]["path"]).read_bytes() == picture(1)


def test_a_work_that_is_added_to_the_list_is_found_soon(platform: Composed, host: Host) -> None:
    file = platform.path("/lists/works.csv")
    written = file.with_name("written")
    written.write_text(f"{file.read_text()}work-2,{host.url('/2.png')},Number 2\n")
    written.replace(file)  # as editors do

    assert found_soon(platform, "work-2")["metadata"]["title"] == "Number 2"


def test_the_page_shows_a_work_and_its_picture_as_it_lies_here(platform: Composed, host: Host) -> None:
    found_soon(platform, "work-1")
    platform.up("ui")
    platform.until_healthy("ui")

    with httpx.Client(base_url=platform.url("ui"), trust_env=False, follow_redirects=True) as visitor:
        page = visitor.get("/gallery", params={"q": "a picture"})
        assert page.status_code == 200
        assert "Number 1" in page.text, page.text
        shown = [visitor.get(source) for source in re.findall(r'<img[^>]* src="([^"]+)"', page.text)]

    assert shown
    assert all(answer.status_code == 200 for answer in shown)
    assert all(answer.headers["content-type"].startswith("image/") for answer in shown)
    assert [request.path for request in host.asked].count("/1.png") == 1


def test_who_only_reads_images_leaves_nothing_among_them(platform: Composed) -> None:
    found_soon(platform, "work-1")

    folder = platform.path("/data/images")
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    assert all(file.parent.name == file.name[:2] and len(file.stem) == 64 for file in files)


def test_the_service_alone_starts_without_an_index_and_finds_nothing(compose: Compose) -> None:
    alone = compose("")
    alone.up("vector_api")
    alone.until_healthy("vector_api")

    assert search(alone, query="a picture") == []
    assert not alone.path("/data/artifacts").exists()


def test_a_list_that_is_not_there_is_said_and_seen_by_the_health_check(compose: Compose) -> None:
    without = compose("")
    without.path("/lists/works.csv").unlink()
    without.up("downloader")

    with pytest.raises(AssertionError, match="downloader has ended"):
        without.until_healthy("downloader")

    assert "/works.csv can't be read (No such file or directory)" in without.log("downloader")


def test_all_of_them_end_by_sigterm_without_a_failure(compose: Compose, host: Host) -> None:
    platform = compose(f"url\n{host.url('/3.png')}\n")
    platform.up(*SERVICES)
    for name in ("downloader", "embedder", "ui"):  # which waits for vector_api
        platform.until_healthy(name)

    assert platform.down() == dict.fromkeys(SERVICES, 0)
