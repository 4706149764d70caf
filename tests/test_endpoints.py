"""The routes as their callers use them."""

import hashlib
import io
import math
from typing import Any

import numpy as np
import pytest
import respx
from app.embeddings import EmbeddingModel
from PIL import Image
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving

IMAGE_URL = "https://media.example.org/artwork.png"
COMMON = {"embedding", "dimensions", "model", "pretrained", "device", "space"}


def painting(width: int = 90, height: int = 60) -> Image.Image:
    """A picture unlike any other of its size."""
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels, "RGB")


def as_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_embed_text_success(client: TestClient) -> None:
    answer = client.post("/embed-text", json={"query": "a stormy sea"}, headers=AUTHORIZED)

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == COMMON | {"truncated"}
    assert len(body["embedding"]) == body["dimensions"] == 64
    assert math.hypot(*body["embedding"]) == pytest.approx(1, abs=1e-5)
    assert body["truncated"] is False


def test_embed_text_gives_the_vector_of_the_model(client: TestClient, model: EmbeddingModel) -> None:
    body = client.post("/embed-text", json={"query": "a stormy sea"}, headers=AUTHORIZED).json()

    assert np.allclose(body["embedding"], model.embed_texts(["a stormy sea"])[0], atol=1e-6)


def test_a_text_over_the_context_length_is_embedded_and_said_to_be_truncated(client: TestClient) -> None:
    body = client.post("/embed-text", json={"query": "a stormy sea " * 50}, headers=AUTHORIZED).json()

    assert body["truncated"] is True


@respx.mock
def test_embed_image_success(client: TestClient) -> None:
    data = as_png(painting())
    respx.get(IMAGE_URL).respond(content=data)

    answer = client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == COMMON | {"sha256", "width", "height"}
    assert math.hypot(*body["embedding"]) == pytest.approx(1, abs=1e-5)
    assert (body["width"], body["height"]) == (90, 60)
    assert body["sha256"] == hashlib.sha256(data).hexdigest()


@respx.mock
def test_embed_image_gives_the_vector_of_the_model(client: TestClient, model: EmbeddingModel) -> None:
    respx.get(IMAGE_URL).respond(content=as_png(painting()))

    body = client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED).json()

    assert np.allclose(body["embedding"], model.embed_images([painting()])[0], atol=1e-6)


def test_answers_carry_the_names_of_the_settings_unchanged(serving: Serving, make_settings: MakeSettings) -> None:
    settings = make_settings(pretrained="some tag")
    with serving(settings) as client:
        body = client.post("/embed-text", json={"query": "x"}, headers=AUTHORIZED).json()

    assert (body["model"], body["pretrained"], body["device"]) == (settings.model_name, "some tag", "cpu")


def test_a_text_and_an_image_lie_in_the_space_that_health_names(client: TestClient) -> None:
    body = client.post("/embed-text", json={"query": "x"}, headers=AUTHORIZED).json()

    assert body["space"] == client.get("/health").json()["space"]


def test_every_one_of_several_tokens_is_taken(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(auth_token="the-old-secret-of-two , the-new-secret-of-two")) as client:
        statuses = [
            client.post("/embed-text", json={"query": "x"}, headers={"Authorization": f"Bearer {token}"}).status_code
            for token in ("the-old-secret-of-two", "the-new-secret-of-two", "the-old-secret-of-two , the-new-secret-of")
        ]

    assert statuses == [200, 200, 401]


def test_a_request_id_is_taken_over(client: TestClient) -> None:
    answer = client.get("/live", headers={"X-Request-ID": "nightly-job.42"})

    assert answer.headers["X-Request-ID"] == "nightly-job.42"


@pytest.mark.parametrize("request_id", ["", "x" * 129, "two words", "line\\nbreak", "näme"])
def test_a_request_id_that_could_do_harm_is_replaced(client: TestClient, request_id: str) -> None:
    answer = client.get("/live", headers={b"X-Request-ID": request_id.encode()})

    assert len(answer.headers["X-Request-ID"]) == 32


@respx.mock
def test_server_timing_names_the_stages_that_happened(client: TestClient) -> None:
    respx.get(IMAGE_URL).respond(content=as_png(painting(77, 55)))

    texts = [client.post("/embed-text", json={"query": "asked for twice"}, headers=AUTHORIZED) for _ in range(2)]
    images = [client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED) for _ in range(2)]

    assert [_stages(text) for text in texts] == [["queue", "infer"], ["cache"]]
    assert [{*_stages(image)} for image in images] == [{"fetch", "decode", "queue", "infer"}, {"fetch", "cache"}]
    assert "Server-Timing" not in client.get("/live").headers


def _stages(answer: Any) -> list[str]:
    return [entry.partition(";")[0] for entry in answer.headers["Server-Timing"].split(", ")]
