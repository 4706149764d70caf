"""The straightforward service gives what `open_clip` gives; otherwise nothing compared with it would mean anything."""

from collections.abc import Iterator

import numpy as np
import open_clip
import pytest
import respx
import torch
from benchmarks.baseline import create_app
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN
from tests.test_endpoints import as_png, painting

URL = "http://pictures.example/1.png"


@pytest.fixture
def straightforward(small: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for name, value in {"MODEL_NAME": small, "PRETRAINED": "-", "AUTH_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    with TestClient(create_app(), headers=AUTHORIZED) as client:
        yield client


@torch.inference_mode()
def test_its_text_vector_is_open_clips(straightforward: TestClient, small: str) -> None:
    model = open_clip.create_model(small).eval()
    expected = model.encode_text(open_clip.get_tokenizer(small)(["a stormy sea"]), normalize=True)

    answer = straightforward.post("/embed-text", json={"query": "a stormy sea"})

    np.testing.assert_allclose(answer.json()["embedding"], expected[0].numpy(), atol=1e-6)


@torch.inference_mode()
def test_its_image_vector_is_open_clips(straightforward: TestClient, small: str) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(small)
    expected = model.eval().encode_image(preprocess(painting()).unsqueeze(0), normalize=True)

    with respx.mock() as host:
        host.get(URL).respond(content=as_png(painting()))
        answer = straightforward.post("/embed-image", json={"url": URL})

    np.testing.assert_allclose(answer.json()["embedding"], expected[0].numpy(), atol=1e-6)


def test_it_lets_nobody_in_who_does_not_know_its_token(straightforward: TestClient) -> None:
    answer = straightforward.post("/embed-text", json={"query": "x"}, headers={"Authorization": "Bearer wrong"})

    assert answer.status_code == 401
