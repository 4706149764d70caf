"""The routes as their callers use them: `CONTRACT` sections 3.1 to 3.4."""

import math

import pytest
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED


def test_embed_text_success(client: TestClient) -> None:
    answer = client.post("/embed-text", json={"query": "a stormy sea"}, headers=AUTHORIZED)

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"embedding", "dimensions", "model", "pretrained", "device", "space", "truncated"}
    assert len(body["embedding"]) == body["dimensions"] == 64
    assert math.hypot(*body["embedding"]) == pytest.approx(1, abs=1e-5)
    assert body["truncated"] is False
