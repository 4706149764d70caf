"""The image host fails as it is asked to."""

import asyncio

import httpx
import numpy as np
import pytest

from tests.endurance.hosts import FAILING, FAILURES, GOOD, MENDED, RELIABLE, ImageHost
from tests.endurance.known import Picture

PICTURE = Picture(b"a picture", 1, 1, np.ones(1, np.float32))


def fetched(behaviour: str, times: int = 1) -> tuple[list[int], bytes]:
    """The statuses of some tries, and the last one's body after the picture that it should be a variant of."""

    async def run() -> tuple[list[int], bytes]:
        async with ImageHost([PICTURE]).open() as host, httpx.AsyncClient(timeout=0.5) as client:
            url, number = host.url(0, behaviour)
            answers = [await client.get(url) for _ in range(times)]
            content = answers[-1].content
            return [answer.status_code for answer in answers], content.replace(PICTURE.variant(number), b"as it is")

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "statuses", "body"),
    [
        ("good", [200, 200], b"as it is"),
        ("slow", [200, 200], b"as it is"),
        ("flaky", [500, 200], b"as it is"),
        ("error", [500, 500], b""),
        ("missing", [404, 404], b""),
    ],
)
def test_a_host_answers(behaviour: str, statuses: list[int], body: bytes) -> None:
    assert fetched(behaviour, times=2) == (statuses, body)


def test_a_host_may_send_a_page_in_the_place_of_a_picture() -> None:
    assert fetched("page")[1].startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [("reset", httpx.ReadError), ("truncated", httpx.RemoteProtocolError), ("stall", httpx.ReadTimeout)],
)
def test_a_host_breaks_off(behaviour: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        fetched(behaviour)


def test_every_behaviour_is_known_and_no_variant_of_a_picture_comes_twice() -> None:
    async def run() -> list[str]:
        async with ImageHost([PICTURE]).open() as host:
            return [host.url(0, behaviour)[0] for behaviour in (GOOD, GOOD, *MENDED, *FAILURES)]

    urls = asyncio.run(run())

    assert len({url.rpartition("/")[2] for url in urls}) == len(urls)
    assert [RELIABLE in url for url in urls] == [True, True, *[False] * (len(MENDED) + len(FAILURES))]
    assert all(FAILING in url for url in urls[2:])
