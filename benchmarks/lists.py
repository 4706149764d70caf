"""What a list costs beside as many single requests, over HTTP, in float32."""

import io
import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.conditions import Conditions
from benchmarks.report import Section, rows
from benchmarks.service import ours

COLOURS = ("red", "blue", "green", "yellow", "black", "white", "golden", "grey")
SUBJECTS = ("sea", "dog", "boat", "woman", "tree", "house", "horse", "night")
TEXTS = [f"a {colour} {subject}" for colour in COLOURS for subject in SUBJECTS]
MOST = [f"boat {number}" for number in range(256)]
IMAGES = 16
LATENCY_S = 0.15
ROUNDS = 5


def table(conditions: Conditions) -> Section:
    """A line for each figure; medians of rounds in which each takes its turn."""
    with ours(conditions, "float32") as service, _slow_host() as host:
        client = service.client
        rounds = [_round(client, host, number) for number in range(conditions.rounds(ROUNDS) + 1)][1:]
    singles, of_texts, inferring, of_images, overhead = (statistics.median(each) for each in zip(*rounds, strict=True))
    allowed = IMAGES * inferring + 2 * LATENCY_S
    lines = [
        [f"{len(TEXTS)} texts, one after the other", f"{singles * 1000:.0f} ms", ""],
        [f"{len(TEXTS)} texts in a list", f"{of_texts * 1000:.0f} ms", f"{of_texts / singles:.2f} of the above"],
        ["one picture's inference", f"{inferring * 1000:.1f} ms", ""],
        [
            f"{IMAGES} images from a host that takes {LATENCY_S * 1000:.0f} ms",
            f"{of_images * 1000:.0f} ms",
            f"{IMAGES} inferences and 2 latencies would be {allowed * 1000:.0f} ms",
        ],
        [f"what {len(MOST)} texts cost beyond inference, each", f"{overhead * 1000:.2f} ms", ""],
    ]
    return Section("## Lists, over HTTP in float32\n\n" + rows(["what", "takes", ""], lines))


def _round(client: httpx.Client, host: str, number: int) -> tuple[float, ...]:
    def single_texts() -> None:
        for text in TEXTS:
            client.post("/embed-text", json={"query": text}).raise_for_status()

    urls = [f"{host}/{number}-{index}.jpg" for index in range(IMAGES)]
    inferring = []

    def single_images() -> None:
        for url in urls[:4]:
            inferring.append(_inferring(client.post("/embed-image", json={"url": url}).raise_for_status()))

    single_images()
    started = time.perf_counter()
    answer = client.post("/embed/text", json={"texts": MOST}).raise_for_status()
    beyond = time.perf_counter() - started - _inferring(answer)
    return (
        _seconds(single_texts),
        _seconds(partial(_list, client, "/embed/text", texts=TEXTS)),
        statistics.median(inferring),
        _seconds(partial(_list, client, "/embed/image", urls=urls)),
        beyond / len(MOST),
    )


def _inferring(answer: httpx.Response) -> float:
    """The seconds of a request that its answer says were inference."""
    return float(re.findall(r"infer;dur=([\d.]+)", answer.headers["Server-Timing"])[0]) / 1000


def _list(client: httpx.Client, route: str, **body: Any) -> None:
    answer = client.post(route, json=body).raise_for_status().json()
    assert not answer.get("failed")


def _seconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@contextmanager
def _slow_host() -> Iterator[str]:
    """A host on loopback that thinks for a while before it gives an image, to each caller anew."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(stream, "JPEG")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(LATENCY_S)
            data = stream.getvalue() + self.path.encode()  # a different image for each URL
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    class Host(ThreadingHTTPServer):
        request_queue_size = 128

    with Host(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
