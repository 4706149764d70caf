"""The model in the box: there without torch or a network, small, quick, and the same as in `open_clip`."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from app.config import ALIASES, BUNDLED, Settings
from app.demo.painter import paint
from app.demo.scene import imagine
from app.embeddings import EmbeddingModel
from app.embeddings import model as model_module
from app.embeddings.model import prepare
from app.embeddings.prepared import shipped
from app.embeddings.source import load
from app.errors import ModelUnavailable, SettingsError
from PIL import Image
from safetensors.numpy import load_file
from starlette.testclient import TestClient

from tests.conftest import MakeSettings, Serving
from tests.embeddings.conftest import pictures_by_open_clip, texts_by_open_clip
from tests.hub import refusing

MEGABYTE = 1_000_000
TEXTS = ["a stormy sea at night", "portrait of a woman", "three lemons on a table", "xyzzy 海 🌊", "!"]


def settings_of(**changes: Any) -> Settings:
    return Settings.load(model_name="tiny-gallery", **changes)


def cosines(one: Any, other: Any) -> Any:
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.fixture(scope="module")
def bundled() -> EmbeddingModel:
    return EmbeddingModel("tiny-gallery", "bundled", settings=settings_of(precision="float32"))


def test_it_brings_its_weights() -> None:
    assert settings_of().pretrained == "bundled"


@pytest.mark.parametrize("pretrained", ["laion2b_s34b_b79k", __file__])
def test_it_takes_no_other_weights(pretrained: str) -> None:
    with pytest.raises(SettingsError, match="stands for the weights 'bundled'; leave PRETRAINED unset"):
        settings_of(pretrained=pretrained)


@pytest.mark.slow
def test_it_needs_neither_torch_nor_a_network_nor_a_disk_to_write(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules.update({name: None for name in ('torch', 'open_clip', 'huggingface_hub')})\n"
        "from app.embeddings import EmbeddingModel\n"
        "print(len(EmbeddingModel('tiny-gallery', 'bundled').embed_texts(['a boat'])[0]))"
    )
    with refusing() as hub:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"HF_ENDPOINT": hub, "MODEL_CACHE_DIR": str(tmp_path / "never")},
            capture_output=True,
            text=True,
            check=True,
        )

    assert done.stdout.strip() == "512"
    assert not (tmp_path / "never").exists()


def test_its_texts_are_those_of_open_clip(bundled: EmbeddingModel) -> None:
    name = ALIASES["tiny-gallery"][0]
    original = open_clip.create_model(name).eval()

    expected = texts_by_open_clip(original, open_clip.get_tokenizer(name), TEXTS)

    assert cosines(bundled.embed_texts(TEXTS), expected).min() > 0.999999


def test_its_pictures_are_those_of_open_clip(bundled: EmbeddingModel) -> None:
    pictures = [paint(imagine(seed), 200) for seed in range(5)] + [Image.new("RGB", (300, 20), "red")]

    expected = pictures_by_open_clip(open_clip.create_model(ALIASES["tiny-gallery"][0]).eval(), pictures)

    assert cosines(bundled.embed_images(pictures), expected).min() > 0.999999


def test_what_is_exported_comes_from_the_weights_beside_it() -> None:
    prepared = shipped()

    assert prepared
    assert load(*ALIASES["tiny-gallery"]).space() == prepared.manifest.space


def test_it_is_small() -> None:
    weights = BUNDLED / "open_clip_model.safetensors"

    assert weights.stat().st_size <= 16 * MEGABYTE
    assert sum(file.stat().st_size for file in BUNDLED.parent.rglob("*") if file.is_file()) <= 20 * MEGABYTE
    assert {array.dtype for name, array in load_file(weights).items() if "num_batches" not in name} == {np.dtype("f2")}


def test_its_vectors_have_512_numbers(bundled: EmbeddingModel) -> None:
    assert bundled.dimensions == 512


def test_it_is_loaded_within_a_second() -> None:
    def seconds() -> float:
        began = time.process_time()  # others may want the processors too
        EmbeddingModel("tiny-gallery", "bundled", settings=settings_of())
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 1


def test_a_vector_takes_milliseconds(bundled: EmbeddingModel) -> None:
    pixels = bundled.preprocessing(paint(imagine(0), 300))

    def seconds(embed: Any, what: Any) -> float:
        began = time.perf_counter()
        embed([what])
        return time.perf_counter() - began

    # Of many, one that nobody else has held up.
    assert min(seconds(bundled.embed_texts, TEXTS[0]) for _ in range(100)) < 0.005
    assert min(seconds(bundled.embed_pixels, pixels) for _ in range(100)) < 0.005


@pytest.mark.parametrize(
    "text", ["zyzzyva quux", "un bateau sur la mer", "嵐の海", "🌊🌙", "1" * 500, "a photograph of my cousin's laptop"]
)
def test_words_that_it_never_saw_get_a_vector_like_any_other(bundled: EmbeddingModel, text: str) -> None:
    (vector,) = bundled.embed_texts([text])

    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_word_that_it_never_saw_hardly_changes_what_a_text_means(bundled: EmbeddingModel) -> None:
    plain, strange, other = bundled.embed_texts(
        ["a stormy sea at night", "a stormy xylophone sea at night", "a sunny town in the morning"]
    )

    assert plain @ strange > 0.8
    assert plain @ strange > plain @ other + 0.3


def test_a_picture_of_something_real_gets_a_vector_like_any_other(bundled: EmbeddingModel) -> None:
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))

    assert np.linalg.norm(bundled.embed_images([photograph])[0]) == pytest.approx(1, abs=1e-5)


def test_a_package_that_is_damaged_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "find", lambda *_, **__: None)

    with pytest.raises(ModelUnavailable, match="damaged; install this package anew"):
        prepare(settings_of())


def test_the_status_says_that_it_is_a_demonstration(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(model_name="tiny-gallery", pretrained="bundled")) as client:
        assert client.get("/").json()["demonstration"] is True
        assert client.get("/health").json()["demonstration"] is True


def test_no_other_model_is_called_a_demonstration(client: TestClient) -> None:
    assert "demonstration" not in client.get("/").json()
    assert "demonstration" not in client.get("/health").json()


def test_the_log_says_that_it_is_a_demonstration(
    serving: Serving, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(make_settings(model_name="tiny-gallery", pretrained="bundled")):
        assert "tiny-gallery is a demonstration" in caplog.text
