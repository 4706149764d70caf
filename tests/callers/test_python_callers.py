"""Each caller's requests, as it sends them today, to the one running instance."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.callers.conftest import Instance
from tests.callers.expected import BASE64, DATA_URI, PAINTING, SEA, WOMAN, close, paintings, seen, texts
from tests.test_endpoints import as_png, painting

pytestmark = pytest.mark.slow

WAITING_S = 30

Post = Callable[..., requests.Response]


@pytest.fixture
def post(instance: Instance) -> Post:
    """`requests.post` with the instance's address and token in place, as every caller has them in its settings."""

    def send(route: str, **how: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {instance.token}"}
        return requests.post(f"{instance.url}{route}", headers=headers, timeout=WAITING_S, **how)

    return send


def test_djangos_nightly_command_gets_an_artworks_vector(post: Post, image_host: str) -> None:
    answer = post("/embed-image", json={"url": f"{image_host}/painting.png"})

    assert answer.status_code == 200
    vector = answer.json()["embedding"]
    assert len(vector) == 512
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)
    assert close([vector], seen())


@pytest.mark.parametrize(("path", "code"), [("gone.png", "image_not_found"), ("text.txt", "not_an_image")])
def test_djangos_nightly_command_is_told_why_an_artwork_has_no_vector(
    post: Post, image_host: str, path: str, code: str
) -> None:
    answer = post("/embed-image", json={"url": f"{image_host}/{path}"})

    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_djangos_search_view_gets_a_querys_vector(post: Post) -> None:
    answer = post("/embed-text", json={"query": SEA})

    assert answer.status_code == 200
    assert close([answer.json()["embedding"]], texts(SEA))


def test_djangos_queries_and_artworks_are_of_one_space(post: Post, image_host: str) -> None:
    query = post("/embed-text", json={"query": SEA}).json()
    artwork = post("/embed-image", json={"url": f"{image_host}/painting.png"}).json()

    assert query["space"] == artwork["space"]


def test_a_caller_with_a_wrong_token_is_refused(instance: Instance) -> None:
    headers = {"Authorization": "Bearer another"}
    answer = requests.post(f"{instance.url}/embed-text", json={"query": SEA}, headers=headers, timeout=WAITING_S)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "file",
    [PAINTING, ("photo.jpg", PAINTING), ("photo.jpg", PAINTING, "image/jpeg")],
    ids=["bytes alone", "with a name", "with another type"],
)
def test_a_photo_that_stock_mind_uploads_gets_its_vector(post: Post, file: Any) -> None:
    answer = post("/embed-image", files={"file": file})

    assert answer.status_code == 200
    assert close([answer.json()["embedding"]], seen())


def test_stock_mind_is_told_model_and_device(post: Post, instance: Instance) -> None:
    answer = post("/embed-image", files={"file": PAINTING}).json()

    assert (answer["model"], answer["device"]) == (instance.model, "cpu")


def test_texts_of_a_batch_get_vectors_in_their_order(post: Post) -> None:
    answer = post("/embed/text", json={"texts": [SEA, WOMAN, SEA]})

    assert answer.status_code == 200
    assert close(answer.json()["embeddings"], texts(SEA, WOMAN, SEA))
    assert answer.json()["truncated"] == [False, False, False]


def test_good_urls_of_a_batch_get_vectors_and_dead_ones_a_reason(post: Post, image_host: str) -> None:
    urls = [f"{image_host}/{name}" for name in ("gone.png", "painting.png", "text.txt", "painting.png")]

    answer = post("/embed/image", json={"urls": urls})

    assert answer.status_code == 200
    body = answer.json()
    assert body["indices"] == [1, 3]
    assert close(body["embeddings"], [*seen(), *seen()])
    assert body["sha256"] == [hashlib.sha256(PAINTING).hexdigest()] * 2
    assert (body["width"], body["height"]) == ([90, 90], [60, 60])
    assert [(failed["index"], failed["url"], failed["code"]) for failed in body["failed"]] == [
        (0, urls[0], "image_not_found"),
        (2, urls[2], "not_an_image"),
    ]


def test_a_batch_of_dead_urls_is_no_error(post: Post, image_host: str) -> None:
    answer = post("/embed/image", json={"urls": [f"{image_host}/gone.png"]})

    assert answer.status_code == 200
    assert (answer.json()["embeddings"], answer.json()["indices"]) == ([], [])
    assert [failed["index"] for failed in answer.json()["failed"]] == [0]


def test_files_of_a_batch_go_up_in_one_form(post: Post) -> None:
    upright = as_png(painting(60, 90))

    answer = post("/embed/image", files=[("files", PAINTING), ("files", b"no picture"), ("files", upright)])

    assert answer.status_code == 200
    assert answer.json()["indices"] == [0, 2]
    assert close(answer.json()["embeddings"], paintings((90, 60), (60, 90)))
    assert [failed["code"] for failed in answer.json()["failed"]] == ["not_an_image"]


def test_texts_and_images_of_a_batch_come_together(post: Post, image_host: str) -> None:
    urls = [f"{image_host}/gone.png", f"{image_host}/painting.png"]

    answer = post("/embed/mixed", json={"texts": [SEA], "urls": urls})

    assert answer.status_code == 200
    assert close(answer.json()["text_embeddings"], texts(SEA))
    assert close(answer.json()["image_embeddings"], seen())
    assert answer.json()["indices"] == [1]


def test_a_batch_of_too_many_is_refused(post: Post) -> None:
    answer = post("/embed/text", json={"texts": [SEA] * 257})

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("image", [BASE64, DATA_URI, "{image_host}/painting.png"], ids=["base64", "data URI", "URL"])
def test_an_image_in_the_node_applications_form_gets_its_vector(post: Post, image_host: str, image: str) -> None:
    answer = post("/embed/image", json={"image": image.format(image_host=image_host)})

    assert answer.status_code == 200
    assert answer.json()["dimensions"] == 512
    assert close([answer.json()["embedding"]], seen())


def test_a_text_in_the_node_applications_form_gets_its_vector(post: Post) -> None:
    answer = post("/embed/text", json={"text": SEA})

    assert answer.status_code == 200
    assert answer.json()["dimensions"] == 512
    assert close([answer.json()["embedding"]], texts(SEA))
