"""What the benchmarks ask: short, and always something else."""

import asyncio
import json
from itertools import islice
from typing import Any

import open_clip
from benchmarks.image_host import ImageHost
from benchmarks.inputs import posts, queries, urls

ENOUGH = 200_000


def test_no_query_comes_twice() -> None:
    assert len(set(islice(queries(), ENOUGH))) == ENOUGH


def test_queries_are_short_as_clip_reads_them() -> None:
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    lengths = (tokenizer([*islice(queries(), 1000)]) != 0).sum(dim=1)

    assert (int(lengths.min()), int(lengths.max())) == (5, 8)


def test_no_address_comes_twice_of_two_series() -> None:
    assert len({*islice(urls("http://host"), 100), *islice(urls("http://host"), 100)}) == 200


def test_a_request_is_one_of_http() -> None:
    head, _, body = next(posts("/embed-text", "query", iter(["a “sea”"]), "secret")).partition(b"\r\n\r\n")

    assert head.startswith(b"POST /embed-text HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in head
    assert head.endswith(b"\r\nContent-Length: %d" % len(body))
    assert json.loads(body) == {"query": "a “sea”"}


def test_the_image_host_gives_each_address_another_image() -> None:
    sent: list[bytes] = []

    class Transport(asyncio.Transport):
        def writelines(self, pieces: Any) -> None:
            sent.append(b"".join(pieces))

    host = ImageHost(b"picture")
    host.connection_made(Transport())
    host.data_received(b"GET /1.jpg HTTP/1.1\r\n\r\nGET /2.j")
    host.data_received(b"pg HTTP/1.1\r\n\r\n")

    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in sent]
    assert bodies == [b"picture/1.jpg", b"picture/2.jpg"]
    assert all(b"Content-Length: 13" in answer for answer in sent)
