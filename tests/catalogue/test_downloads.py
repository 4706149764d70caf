"""Images from their hosts: what is asked for, what is kept, and what becomes of failures."""

import asyncio
import errno
import json
import threading
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from app.catalogue import downloads
from app.catalogue.downloads import Downloaded, Policy, download, due
from app.catalogue.manifest import Entry, Manifest
from app.catalogue.places import Places
from app.config import Settings
from app.images.fetch import MAX_CONNECTIONS_PER_HOST, Fetcher

from tests.catalogue.conftest import picture
from tests.images.hosts import Answer, Host, content, redirect

WEEK_S = 7 * 86_400.0
NOTHING_PASSES = Policy(WEEK_S)
EVERYTHING_PASSES = Policy(-1)


@pytest.fixture(autouse=True)
def _hosts_need_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "REST_S", 0)


def run(
    places: Places,
    urls: Iterable[str],
    policy: Policy = NOTHING_PASSES,
    told: Callable[[Downloaded], None] = lambda _: None,
) -> tuple[Downloaded, Manifest]:
    """What a night's command does, and the manifest as the next night reads it."""
    manifest = Manifest(places.manifest)
    asked = due(urls, manifest, places.images, policy, time.time())

    async def ask() -> Downloaded:
        fetcher = Fetcher(Settings.load(allow_private_networks=True), "tate-embeddings/test")
        try:
            return await download(asked, manifest, places.images, fetcher, told)
        finally:
            await fetcher.close()

    with manifest.changing():
        done = asyncio.run(ask())
    return done, Manifest(places.manifest)


def status(code: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            request.send_header(name, value)
        request.end_headers()

    return answer


def unless_known(body: bytes, etag: str) -> Answer:
    """Like a host that answers conditional requests."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        known = request.headers.get("If-None-Match") == etag
        (status(304, ETag=etag) if known else content(body, ETag=etag))(request)

    return answer


def paths(host: Host) -> list[str]:
    return [request.path for request in host.asked]


def test_an_image_is_kept_under_the_digest_of_its_bytes(places: Places, host: Host) -> None:
    host.answers["/a"] = content(picture(1), Content_Type="image/png", ETag='"1"', Last_Modified="yesterday")

    done, manifest = run(places, [host.url("/a")])

    entry = manifest[host.url("/a")]
    digest = sha256(picture(1)).hexdigest()
    assert (done.new, done.bytes, done.count) == (1, len(picture(1)), 1)
    assert (entry.status, entry.sha256, entry.bytes, entry.attempts) == ("ok", digest, len(picture(1)), 1)
    assert (entry.content_type, entry.etag, entry.last_modified) == ("image/png", '"1"', "yesterday")
    assert entry.latency_ms
    assert entry.path == f"{digest[:2]}/{digest}.png"
    assert (places.images / entry.path).read_bytes() == picture(1)


def test_a_url_that_is_listed_twice_is_asked_for_once(places: Places, host: Host) -> None:
    host.answers["/a"] = content(picture(1))

    run(places, [host.url("/a")] * 3)

    assert paths(host) == ["/a"]
    assert len(places.manifest.read_text().splitlines()) == 1


def test_what_was_asked_for_lately_is_not_asked_for_again(places: Places, host: Host) -> None:
    host.answers["/a"] = content(picture(1))
    run(places, [host.url("/a")])

    done, _ = run(places, [host.url("/a")])

    assert done.count == 0
    assert paths(host) == ["/a"]


def test_later_a_host_is_asked_only_whether_there_is_anything_new(places: Places, host: Host) -> None:
    host.answers["/a"] = unless_known(picture(1), '"1"')
    _, before = run(places, [host.url("/a")])

    done, manifest = run(places, [host.url("/a")], EVERYTHING_PASSES)

    assert (done.new, done.unchanged, done.bytes) == (0, 1, 0)
    entry = manifest[host.url("/a")]
    assert entry.checked_at > before[host.url("/a")].checked_at
    assert entry._replace(checked_at=0, latency_ms=0) == before[host.url("/a")]._replace(checked_at=0, latency_ms=0)


def test_an_image_that_has_changed_takes_the_place_of_the_old_one(places: Places, host: Host) -> None:
    host.answers["/a"] = unless_known(picture(1), '"1"')
    run(places, [host.url("/a")])
    host.answers["/a"] = unless_known(picture(2), '"2"')

    done, manifest = run(places, [host.url("/a")], EVERYTHING_PASSES)

    assert done.new == 1
    assert manifest[host.url("/a")].sha256 == sha256(picture(2)).hexdigest()
    assert manifest[host.url("/a")].etag == '"2"'


def test_an_image_that_is_lost_is_fetched_anew(places: Places, host: Host) -> None:
    host.answers["/a"] = unless_known(picture(1), '"1"')
    _, manifest = run(places, [host.url("/a")])
    path = manifest[host.url("/a")].path
    assert path
    (places.images / path).write_bytes(b"")

    run(places, [host.url("/a")])

    assert (places.images / path).read_bytes() == picture(1)


def test_what_has_failed_for_good_is_kept_and_not_asked_for_again(places: Places, host: Host) -> None:
    host.answers["/a"] = status(404)
    done, manifest = run(places, [host.url("/a")])

    assert done.failures == {"image_not_found": 1}
    entry = manifest[host.url("/a")]
    assert (entry.status, entry.code, entry.failures) == ("dead", "image_not_found", 1)
    assert "404" in str(entry.detail)
    run(places, [host.url("/a")])
    assert len(paths(host)) == 1


def test_what_has_failed_for_good_is_asked_for_again_if_that_is_wanted(places: Places, host: Host) -> None:
    host.answers["/a"] = status(404)
    run(places, [host.url("/a")])
    host.answers["/a"] = content(picture(1))

    _, manifest = run(places, [host.url("/a")], Policy(WEEK_S, retry_dead=True))

    assert manifest[host.url("/a")].status == "ok"
    assert (manifest[host.url("/a")].code, manifest[host.url("/a")].failures) == (None, 0)


def test_what_may_come_another_time_is_asked_for_by_the_next_run(places: Places, host: Host) -> None:
    host.answers["/a"] = status(503)
    done, manifest = run(places, [host.url("/a")])
    assert done.failures == {"image_host_failed": 1}
    assert (manifest[host.url("/a")].status, manifest[host.url("/a")].attempts) == ("failed", 3)
    host.answers["/a"] = content(picture(1))

    _, manifest = run(places, [host.url("/a")])

    assert manifest[host.url("/a")].status == "ok"


@pytest.mark.parametrize("code", [404, 503])
def test_a_url_that_worked_and_fails_later_keeps_its_image(places: Places, host: Host, code: int) -> None:
    host.answers["/a"] = content(picture(1))
    _, before = run(places, [host.url("/a")])
    host.answers["/a"] = status(code)

    _, manifest = run(places, [host.url("/a")], EVERYTHING_PASSES)

    entry = manifest[host.url("/a")]
    assert entry.status != "ok"
    assert (entry.sha256, entry.path) == (before[host.url("/a")].sha256, before[host.url("/a")].path)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("no URL at all", "invalid_request"),
        ("ftp://example.org/a", "url_forbidden"),
        ("http://169.254.169.254/a", "url_forbidden"),
        ("http://[::1", "invalid_request"),
    ],
)
def test_what_may_not_be_asked_for_is_dead(places: Places, url: str, code: str) -> None:
    _, manifest = run(places, [url])

    assert (manifest[url].status, manifest[url].code, manifest[url].attempts) == ("dead", code, 0)


def test_a_host_that_leads_round_in_a_circle_is_followed_a_few_times(places: Places, host: Host) -> None:
    host.answers["/a"] = redirect("/a")

    _, manifest = run(places, [host.url("/a")])

    assert (manifest[host.url("/a")].status, manifest[host.url("/a")].code) == ("dead", "image_unusable")


def test_a_host_that_fails_again_and_again_is_given_up(places: Places, host: Host) -> None:
    urls = [host.url(f"/{number}") for number in range(40)]
    host.answers |= {f"/{number}": status(503) for number in range(40)}

    done, manifest = run(places, urls)

    assert done.count == 40
    assert done.failures["host_given_up"] >= 40 - downloads.FAILURES_IN_A_ROW - MAX_CONNECTIONS_PER_HOST
    assert len(set(paths(host))) == done.failures["image_host_failed"]
    assert {entry.status for entry in manifest.values()} == {"failed"}


def test_a_host_that_has_recovered_is_asked_for_the_rest(
    places: Places, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [host.url(f"/{number}") for number in range(40)]
    host.answers |= {f"/{number}": status(503) for number in range(40)}

    async def recover(_: float) -> None:
        host.answers |= {f"/{number}": content(picture(number)) for number in range(40)}

    monkeypatch.setattr(downloads, "rest", recover)
    done, _ = run(places, urls)

    assert done.failures["host_given_up"] == 0
    assert done.new == 40 - done.failures["image_host_failed"] >= 40 - 5 - MAX_CONNECTIONS_PER_HOST


def test_a_host_that_fails_keeps_nobody_else_waiting(places: Places, host: Host) -> None:
    dead = Host()
    dead.close()
    host.answers |= {f"/{number}": content(picture(number)) for number in range(10)}
    urls = [url for number in range(10) for url in (dead.url(f"/{number}"), host.url(f"/{number}"))]

    done, _ = run(places, urls)

    assert done.new == 10
    assert done.failures.total() == 10


def test_a_host_is_asked_for_a_few_images_at_once(places: Places, host: Host) -> None:
    lock = threading.Lock()
    counts = {"now": 0, "most": 0}

    def answer(request: BaseHTTPRequestHandler) -> None:
        with lock:
            counts["now"] += 1
            counts["most"] = max(counts["most"], counts["now"])
        content(picture(int(request.path[1:])))(request)
        with lock:
            counts["now"] -= 1

    host.answers |= {f"/{number}": answer for number in range(60)}
    run(places, [host.url(f"/{number}") for number in range(60)])

    assert 1 < counts["most"] <= MAX_CONNECTIONS_PER_HOST


def test_a_line_that_a_crash_has_cut_off_spoils_no_other(places: Places, host: Host) -> None:
    host.answers |= {f"/{number}": content(picture(number)) for number in range(3)}
    run(places, [host.url("/0"), host.url("/1")])
    whole = places.manifest.read_bytes()
    places.manifest.write_bytes(whole[:-20])

    done, manifest = run(places, [host.url(f"/{number}") for number in range(3)])

    assert done.count == 2
    assert len(manifest) == 3
    assert [json.loads(line)["status"] for line in places.manifest.read_text().splitlines()] == ["ok"] * 3


def test_a_manifest_has_one_line_for_each_url_also_after_a_run_that_was_killed(places: Places, host: Host) -> None:
    host.answers["/a"] = content(picture(1))
    run(places, [host.url("/a")])
    line = places.manifest.read_text()
    places.manifest.write_text(line + line + line[:10])

    run(places, [host.url("/a")])

    assert places.manifest.read_text() == line


def test_fields_of_another_version_do_no_harm(places: Places) -> None:
    places.manifest.write_text('{"url": "http://a/", "status": "ok", "colour": "blue"}\n{"no": "url"}\n[1]\n')

    assert dict(Manifest(places.manifest)) == {"http://a/": Entry("http://a/", "ok", 0)}


def test_a_full_disk_ends_the_run_and_loses_nothing(
    places: Places, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answers |= {f"/{number}": content(picture(number)) for number in range(6)}
    urls = [host.url(f"/{number}") for number in range(6)]
    run(places, urls[:3])

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "keep", full)
        with pytest.raises(OSError, match="No space left"):
            run(places, urls)
    assert len(Manifest(places.manifest)) == 3

    done, manifest = run(places, urls)
    assert (done.new, len(manifest)) == (3, 6)


def test_whoever_watches_is_told_how_far_it_is(places: Places, host: Host) -> None:
    host.answers |= {f"/{number}": content(picture(number)) for number in range(3)}
    told: list[int] = []

    run(places, [host.url(f"/{number}") for number in range(3)], told=lambda done: told.append(done.count))

    assert told == [0, 1, 2, 3]
