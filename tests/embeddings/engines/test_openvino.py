"""The CPU engine."""

import sys
from pathlib import Path

import numpy as np
import pytest
from app.embeddings import EmbeddingModel
from app.embeddings.engines import openvino
from app.embeddings.engines.openvino import OpenVinoEngine, native

IDS = np.array([[49406, 320, 49407]], np.int64)
PIXELS = np.full((1, 64, 64, 3), 90, np.uint8)


@pytest.fixture
def folder(model: EmbeddingModel, cache: Path) -> Path:
    return cache / model.space


def test_every_cpu_computes_in_float32() -> None:
    assert native("float32")


def test_it_says_what_it_is(folder: Path) -> None:
    engine = OpenVinoEngine(folder, "float32", 1)

    assert (engine.name, engine.device, engine.precision) == ("openvino", "cpu", "float32")


def test_vectors_stay_as_they_are_when_the_next_are_computed(folder: Path) -> None:
    engine = OpenVinoEngine(folder, "float32", 1)
    first = engine.embed_ids(IDS)
    before = first.copy()

    engine.embed_ids(IDS + 1)

    assert np.array_equal(first, before)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_vector(folder: Path, model: EmbeddingModel, threads: int) -> None:
    engine = OpenVinoEngine(folder, "float32", threads)

    assert np.abs(engine.embed_ids(IDS) - model.engine.embed_ids(IDS)).max() < 1e-5
    assert np.abs(engine.embed_pixels(PIXELS) - model.engine.embed_pixels(PIXELS)).max() < 1e-5


def test_where_memory_cant_be_given_back_it_serves_too(
    folder: Path, model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(openvino, "ctypes")

    engine = OpenVinoEngine(folder, "float32", 1)

    assert np.abs(engine.embed_ids(IDS) - model.engine.embed_ids(IDS)).max() < 1e-5


def test_the_analytics_of_openvino_are_left_out() -> None:
    assert sys.modules["openvino_telemetry"] is None
