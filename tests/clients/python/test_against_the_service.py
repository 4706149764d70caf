"""The client and the real service, over a real socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.main import create_app
from app.search.opening import opened
from app.search.store import Item

from tate_embeddings_client import (
    AuthenticationError,
    Client,
    ConnectionFailed,
    Failure,
    FieldInfo,
    ImageEmbedding,
    IndexItem,
    Query,
    ServiceError,
    SpaceChanged,
    ValueCount,
)
from tests.clients.python.conftest import Caller, Hours
from tests.conftest import TOKEN, unused_port
from tests.images.hosts import Host, content
from tests.test_endpoints import as_png, painting

PICTURES = [painting(90, 60), painting(30, 80), painting(64, 64)]
# Ids that would lead elsewhere, were they taken for paths.
ITEMS: dict[str, dict[str, Any]] = {
    "..": {"year": 1842},
    "a/../b?c%2F": {"year": 1840, "artist": "Ada Impasto"},
    ".": {},
}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """An image host with the pictures at /0, /1 and /2, and nothing else."""
    host = Host()
    host.answers["/gone"] = lambda request: request.send_error(404)
    host.answers["/words"] = content(b"no image at all")
    for number, picture in enumerate(PICTURES):
        host.answers[f"/{number}"] = content(as_png(picture))
    yield host
    host.close()


@pytest.fixture(scope="module")
def address(model: EmbeddingModel, small: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that is ready, on loopback, with an index of the pictures."""
    port = unused_port()
    index_url = f"faiss://{tmp_path_factory.mktemp('index')}"
    with closing(opened(index_url)) as store:
        vectors = model.embed_images(PICTURES)
        store.upsert([Item(*each) for each in zip(ITEMS, vectors, ITEMS.values(), strict=True)], model.space)
    settings = Settings.load(
        auth_token=[TOKEN],
        model_name=small,
        model_cache_dir=cache,
        precision="float32",
        allow_private_networks=True,
        index_url=index_url,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.main.EmbeddingModel", lambda *_, **__: model)
        server = uvicorn.Server(uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield _when_ready(f"http://127.0.0.1:{port}")
        finally:
            server.should_exit = True
            thread.join(20)


def _when_ready(address: str) -> str:
    deadline, pace = time.monotonic() + 30, threading.Event()
    with Client(address, TOKEN) as client:
        while time.monotonic() < deadline:
            with suppress(ConnectionFailed):
                if client.health().ready:
                    return address
            pace.wait(0.02)
    raise AssertionError("the service isn't ready")


def close(found: Any, expected: Any) -> bool:
    return list(found.vector) == pytest.approx(list(map(float, expected)), abs=1e-5)


def test_health(caller: Caller, address: str, model: EmbeddingModel) -> None:
    health = caller.call(address, "health")

    assert (health.ready, health.space, health.engine) == (True, model.space, "openvino")


def test_a_text(caller: Caller, address: str, model: EmbeddingModel) -> None:
    found = caller.call(address, "embed_text", "a stormy sea", space=model.space)

    assert close(found, model.embed_texts(["a stormy sea"])[0])
    assert (found.space, found.dimensions, found.truncated) == (model.space, 64, False)


def test_an_image_in_every_form(
    caller: Caller, address: str, model: EmbeddingModel, host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "artwork"
    path.write_bytes(as_png(PICTURES[0]))

    found = caller.together(address, *[("embed_image", image) for image in (host.url("/0"), path, path.read_bytes())])

    assert all(close(each, model.embed_images(PICTURES[:1])[0]) for each in found)
    assert {(each.width, each.height, each.sha256) for each in found} == {(90, 60, found[0].sha256)}


@pytest.mark.parametrize(
    ("image", "code", "status"),
    [(b"no image", "not_an_image", 422), (b"", "invalid_request", 422), ("/gone", "image_not_found", 422),
     ("/words", "not_an_image", 422), ("ftp://media.example.org/", "url_forbidden", 422),
     ("?", "invalid_request", 422)],
)  # fmt: skip
def test_an_image_of_no_use(
    caller: Caller, address: str, host: Host, image: str | bytes, code: str, status: int
) -> None:
    sent = host.url(image) if isinstance(image, str) and image.startswith("/") else image

    with pytest.raises(ServiceError) as failed:
        caller.call(address, "embed_image", sent)

    assert (failed.value.code, failed.value.status, failed.value.retryable) == (code, status, False)
    assert failed.value.request_id


def test_an_image_host_that_fails_is_asked_for_again(caller: Caller, address: str, free_port: int) -> None:
    hours = Hours()

    with pytest.raises(ServiceError, match="502 image_host_failed"):
        caller.call(address, "embed_image", f"http://127.0.0.1:{free_port}/", clock=hours.clock)

    assert len(hours.waits) == 3


def test_an_unknown_token(address: str) -> None:
    with Client(address, "some-other-token") as client, pytest.raises(AuthenticationError):
        client.embed_text("a stormy sea")


def test_another_space(caller: Caller, address: str) -> None:
    with pytest.raises(SpaceChanged):
        caller.call(address, "embed_text", "a stormy sea", space="another")


def test_texts(caller: Caller, address: str, model: EmbeddingModel) -> None:
    texts = ["a stormy sea", "a calm sea", "\u98a8\U0001f30a", "long " * 200]

    found = caller.call(address, "embed_texts", texts)

    assert all(close(each, expected) for each, expected in zip(found, model.embed_texts(texts), strict=True))
    assert [each.truncated for each in found] == [False, False, False, True]


def test_texts_of_which_one_is_blank(caller: Caller, address: str) -> None:
    with pytest.raises(ServiceError, match="400 invalid_request"):
        caller.call(address, "embed_texts", ["a stormy sea", " "])


def test_more_texts_than_a_request_takes(caller: Caller, address: str) -> None:
    texts = [f"artwork {number}" for number in range(300)]

    found = caller.call(address, "embed_texts", texts)

    assert len(found) == 300
    assert close(found[299], caller.call(address, "embed_text", "artwork 299").vector)


def test_images_of_every_kind_good_and_bad(
    caller: Caller, address: str, model: EmbeddingModel, host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "artwork"
    path.write_bytes(as_png(PICTURES[2]))
    images = [host.url("/0"), b"no image", as_png(PICTURES[1]), host.url("/gone"), path, host.url("/words")]

    found = caller.call(address, "embed_images", images)

    expected = model.embed_images(PICTURES)
    assert [type(each) for each in found] == [ImageEmbedding, Failure, ImageEmbedding, Failure, ImageEmbedding, Failure]
    assert all(close(found[place], expected[number]) for number, place in enumerate((0, 2, 4)))
    assert [(found[place].index, found[place].code, found[place].url) for place in (1, 3, 5)] == [
        (1, "not_an_image", None),
        (3, "image_not_found", host.url("/gone")),
        (5, "not_an_image", host.url("/words")),
    ]


def test_images_that_all_fail(caller: Caller, address: str, host: Host, free_port: int) -> None:
    found = caller.call(address, "embed_images", [b"no image", host.url("/gone"), f"http://127.0.0.1:{free_port}/"])

    assert [(each.code, each.retryable) for each in found] == [
        ("not_an_image", False),
        ("image_not_found", False),
        ("image_host_failed", True),
    ]


@pytest.mark.parametrize(("texts", "urls"), [(["a sea"], ["/1", "/gone"]), ([], ["/1"]), (["a sea", "a calm sea"], [])])
def test_texts_and_images_together(
    caller: Caller, address: str, model: EmbeddingModel, host: Host, texts: list[str], urls: list[str]
) -> None:
    found = caller.call(address, "embed_mixed", texts, [host.url(url) for url in urls])

    assert len(found.texts) == len(texts)
    assert all(close(each, model.embed_texts([text])[0]) for each, text in zip(found.texts, texts, strict=True))
    assert [isinstance(each, Failure) for each in found.images] == [url == "/gone" for url in urls]


def test_what_is_near_to_things_of_every_kind(
    caller: Caller, address: str, model: EmbeddingModel, host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "artwork"
    path.write_bytes(as_png(PICTURES[0]))
    vector = [3 * float(number) for number in model.embed_images(PICTURES[:1])[0]]
    queries = [Query(image=host.url("/0")), Query(image=path), Query(embedding=vector, weight=2)]

    searched = caller.together(address, *[("search", query) for query in (*queries, queries, Query(id=".."), "a sea")])

    assert [each.results[0].id for each in searched[:4]] == [".."] * 4
    assert all(each.results[0].score == pytest.approx(1, abs=1e-4) for each in searched[:4])
    assert {hit.id: hit.metadata for hit in searched[4].results} == {name: ITEMS[name] for name in ("a/../b?c%2F", ".")}
    assert {(each.space, len(each.results)) for each in (*searched[:4], searched[5])} == {(model.space, 3)}


def test_a_search_that_is_bounded(address: str) -> None:
    with Client(address, TOKEN) as client:
        found = client.search("a sea", k=2, min_score=-1, filter={"year": {"gte": 1841}, "artist": "Ada Impasto"})
        passed_over = client.search("a sea", offset=1)

    assert found.results == []
    assert len(passed_over.results) == 2


def test_the_index(caller: Caller, address: str, model: EmbeddingModel) -> None:
    found = caller.call(address, "index")

    assert (found.count, found.space, found.dimensions, found.kind) == (3, model.space, 64, "faiss")
    assert found.fields == {
        "artist": FieldInfo(values=[ValueCount(value="Ada Impasto", count=1)], distinct=1, lowest=None, highest=None),
        "year": FieldInfo(
            values=[ValueCount(value=1840, count=1), ValueCount(value=1842, count=1)],
            distinct=2,
            lowest=1840,
            highest=1842,
        ),
    }


def test_items_whatever_their_ids(caller: Caller, address: str) -> None:
    expected = [IndexItem(id=name, metadata=metadata) for name, metadata in ITEMS.items()]

    *alone, together = caller.together(address, *[("item", name) for name in ITEMS], ("items",))

    assert alone == expected
    assert sorted(together, key=lambda each: list(ITEMS).index(each.id)) == expected


def test_an_item_that_is_not_there(caller: Caller, address: str) -> None:
    with pytest.raises(ServiceError, match="404 item_not_found"):
        caller.call(address, "item", "gone")
