"""The GPU engine, on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from app.config import Precision, Settings
from app.embeddings import EmbeddingModel, reference

from tests.embeddings.conftest import MakeModel, noise

TEXTS = ["", "a stormy sea", "a crowd of people " * 40]
FLOORS: dict[Precision, float] = {"float32": 0.999999, "bfloat16": 0.9995}


def settings_with(cache: Path, precision: str) -> Settings:
    return Settings.load(model_cache_dir=cache, engine="torch", device="cpu", precision=precision)


@pytest.mark.parametrize("precision", FLOORS)
def test_its_vectors_are_openvinos(small: str, cache: Path, model: EmbeddingModel, precision: Precision) -> None:
    other = EmbeddingModel(small, "-", settings=settings_with(cache, precision))

    assert (other.engine.name, other.engine.device, other.engine.precision) == ("torch", "cpu", precision)
    assert other.space == model.space
    pictures = [noise(100, 80), noise(64, 200)]
    assert reference.cosines(other.embed_texts(TEXTS), model.embed_texts(TEXTS)).min() >= FLOORS[precision]
    assert reference.cosines(other.embed_images(pictures), model.embed_images(pictures)).min() >= FLOORS[precision]


@pytest.mark.usefixtures("model")
def test_left_to_itself_it_computes_in_float32_on_a_cpu(small: str, cache: Path) -> None:
    assert EmbeddingModel(small, "-", settings=settings_with(cache, "auto")).engine.precision == "float32"


@pytest.mark.usefixtures("model")
def test_it_has_no_attention_planned_for_each_shape_of_a_batch(
    small: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", asked.append)

    EmbeddingModel(small, "-", settings=settings_with(cache, "float32"))

    assert asked == [False]


@pytest.mark.usefixtures("model")
def test_it_computes_with_as_many_threads_as_it_is_given(
    small: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)

    EmbeddingModel(small, "-", settings=settings_with(cache, "float32"), threads=3)

    assert given == [3]


@pytest.mark.usefixtures("exported_here")
def test_a_text_tower_that_looks_ahead_keeps_its_padding(tmp_path: Path, make_model: MakeModel) -> None:
    name = make_model(model={"custom_text": True}, text={"no_causal_mask": True, "pool_type": "last"})
    openvino = EmbeddingModel(name, "-", settings=Settings.load(model_cache_dir=tmp_path / "c", precision="float32"))

    torch_ = EmbeddingModel(name, "-", settings=settings_with(tmp_path / "c", "float32"))

    assert np.abs(torch_.embed_texts(TEXTS) - openvino.embed_texts(TEXTS)).max() < 1e-5
