"""Vectors beside `open_clip`'s own, and what they may and mustn't depend on."""

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from app.config import Device, Precision, Settings
from app.config import Engine as EngineName
from app.embeddings import EmbeddingModel, reference, source
from app.embeddings.engines import Ids, Pixels, Vectors, openvino
from app.embeddings.engines.choice import HALF_PRECISION_FLOOR
from app.embeddings.model import SELF_TEST_FLOOR
from app.embeddings.prepared import Manifest, Prepared, find
from app.errors import ModelUnavailable
from PIL import Image

from tests.embeddings.conftest import (
    Downloaded,
    MakeModel,
    export_here,
    noise,
    pictures_by_open_clip,
    texts_by_open_clip,
)

FLOORS: dict[Precision, float] = {"float32": 0.999999, "bfloat16": 0.9995}
NEAR = 1e-5

TEXTS = ["sea " * length for length in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 74, 75, 76, 77, 200)] + [
    "Œuvre d'art – «Nature morte» n° 7",
    "睡蓮の池に架かる橋 🌊",
    "ends <end_of_text> early",
]
SIZES = [(224, 224), (1, 1), (640, 480), (480, 640), (100, 1000), (223, 225), (1000, 100), (37, 41)]
PICTURES = [noise(*size, seed=seed) for seed, size in enumerate(SIZES)]


def lowest(vectors: Vectors, others: Any) -> float:
    return float(reference.cosines(vectors, others).min())


def settings_with(cache: Path, precision: str, engine: EngineName = "openvino") -> Settings:
    return Settings.load(model_cache_dir=cache, precision=precision, engine=engine, device="cpu")


@pytest.fixture(scope="module")
def real_expected(real_open_clip: Any) -> dict[str, Any]:
    """What `open_clip` gives for the texts and pictures."""
    return {
        "texts": texts_by_open_clip(real_open_clip, open_clip.get_tokenizer("ViT-B-32"), TEXTS),
        "pictures": pictures_by_open_clip(real_open_clip, PICTURES),
    }


@pytest.mark.slow
def test_texts_in_float32_are_open_clips(real: EmbeddingModel, real_expected: dict[str, Any]) -> None:
    assert lowest(real.embed_texts(TEXTS), real_expected["texts"]) >= FLOORS["float32"]


@pytest.mark.slow
def test_pictures_in_float32_are_open_clips(real: EmbeddingModel, real_expected: dict[str, Any]) -> None:
    assert lowest(real.embed_images(PICTURES), real_expected["pictures"]) >= FLOORS["float32"]


@pytest.mark.slow
def test_bfloat16_keeps_its_floor_or_is_refused_where_the_cpu_hasnt_got_it(
    downloaded: Downloaded, real_expected: dict[str, Any]
) -> None:
    settings = settings_with(downloaded.cache, "bfloat16")
    if not openvino.native("bfloat16"):
        with pytest.raises(ModelUnavailable, match="PRECISION=bfloat16"):
            EmbeddingModel("ViT-B-32", "laion2b_s34b_b79k", settings=settings)
        return
    model = EmbeddingModel("ViT-B-32", "laion2b_s34b_b79k", settings=settings)

    assert lowest(model.embed_texts(TEXTS), real_expected["texts"]) >= FLOORS["bfloat16"]
    assert lowest(model.embed_images(PICTURES), real_expected["pictures"]) >= FLOORS["bfloat16"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.usefixtures("exported_here")
def test_torch_keeps_the_floors_too(
    downloaded: Downloaded, real: EmbeddingModel, vit_b_32: Path, real_expected: dict[str, Any], precision: Precision
) -> None:
    # The same weights from a file of another format: they are prepared already.
    model = EmbeddingModel("ViT-B-32", str(vit_b_32), settings=settings_with(downloaded.cache, precision, "torch"))

    assert model.space == real.space
    assert lowest(model.embed_texts(TEXTS), real_expected["texts"]) >= FLOORS[precision]
    assert lowest(model.embed_images(PICTURES), real_expected["pictures"]) >= FLOORS[precision]


@pytest.mark.slow
def test_what_was_measured_when_it_was_prepared_is_recorded(real: EmbeddingModel) -> None:
    fidelity = real.manifest.fidelity

    assert fidelity["float32"] >= FLOORS["float32"]
    assert ("bfloat16" in fidelity) is openvino.native("bfloat16")
    assert fidelity.get("bfloat16", 1) >= HALF_PRECISION_FLOOR


@pytest.mark.slow
def test_vectors_are_of_unit_length_in_float32(real: EmbeddingModel) -> None:
    for vectors, count in ((real.embed_texts(TEXTS), len(TEXTS)), (real.embed_images(PICTURES), len(PICTURES))):
        assert vectors.dtype == np.float32
        assert vectors.shape == (count, 512)
        assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() <= 1e-5


@pytest.mark.slow
def test_a_vector_doesnt_depend_on_what_else_is_in_its_batch(real: EmbeddingModel) -> None:
    texts = [*TEXTS, *reversed(TEXTS)]
    together = [real.embed_texts(texts), real.embed_images(PICTURES)]
    alone = [
        np.concatenate([real.embed_texts([text]) for text in texts]),
        np.concatenate([real.embed_images([picture]) for picture in PICTURES]),
    ]

    for vectors, others in zip(together, alone, strict=True):
        assert lowest(vectors, others) >= FLOORS["float32"]
        assert np.abs(vectors - others).max() <= NEAR


@pytest.mark.slow
def test_a_text_cut_to_its_own_length_has_the_vector_of_the_padded_one(real: EmbeddingModel) -> None:
    assert real.manifest.cut_after == 49407
    for text in TEXTS:
        ids = real.tokenize(text).ids
        padded = np.array([ids + [0] * (77 - len(ids))], np.int64)

        assert lowest(real.embed_tokens([ids]), real.engine.embed_ids(padded)) >= FLOORS["float32"]


@pytest.mark.parametrize("count", [0, 1, 2, 31, 60])
def test_texts_come_back_in_their_order_however_many(model: EmbeddingModel, count: int) -> None:
    texts = [f"{'sea ' * (count - index)}{index}" for index in range(count)]

    vectors = model.embed_texts(texts)

    assert vectors.shape == (count, model.dimensions)
    for vector, text in zip(vectors, texts, strict=True):
        assert np.abs(vector - model.embed_texts([text])[0]).max() <= NEAR


@pytest.mark.parametrize("count", [0, 1, openvino.PICTURES, openvino.PICTURES + 1])
def test_pictures_come_back_in_their_order_however_many(model: EmbeddingModel, count: int) -> None:
    pictures = [noise(70 + index, 64, seed=index) for index in range(count)]

    vectors = model.embed_images(pictures)

    assert vectors.shape == (count, model.dimensions)
    for vector, picture in zip(vectors, pictures, strict=True):
        assert np.abs(vector - model.embed_images([picture])[0]).max() <= NEAR


def test_pixels_and_pictures_may_be_mixed(model: EmbeddingModel) -> None:
    picture = noise(100, 80)
    given: list[Image.Image | Pixels] = [picture, model.preprocessing(picture)]

    one, other = model.embed_images(given)

    assert np.abs(one - other).max() <= NEAR


def test_several_threads_may_embed_at_once(model: EmbeddingModel) -> None:
    texts = [f"picture number {number} {'of the sea ' * (number % 7)}" for number in range(48)]
    expected = [model.embed_texts([text]) for text in texts]

    with ThreadPoolExecutor(8) as threads:
        vectors = list(threads.map(lambda text: model.embed_texts([text]), texts))

    assert max(np.abs(one - other).max() for one, other in zip(vectors, expected, strict=True)) <= NEAR


# What is changed, and whether texts may be cut. Texts and pictures have nothing to do with each other: a text tower of
# one kind and pictures of another share a model here.
MODELS: dict[str, tuple[dict[str, Any], bool]] = {
    "read off the end token, oblong pictures": (
        {"text": {"pool_type": "eos", "eos_id": 49407}, "vision": {"image_size": [48, 80]}},
        True,
    ),
    "read off the end token in a custom text tower, padded pictures": (
        {
            "model": {"custom_text": True},
            "text": {"pool_type": "eos", "eos_id": 49407},
            "preprocess": {"resize_mode": "longest", "fill_color": 90},
        },
        True,
    ),
    "looks ahead and is read off the last token, squashed pictures in other colours": (
        {
            "model": {"custom_text": True},
            "text": {"no_causal_mask": True, "pool_type": "last"},
            "preprocess": {"resize_mode": "squash", "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3},
        },
        False,
    ),
    "looks ahead without a custom text tower": ({"text": {"no_causal_mask": True}}, False),
    "read off another token": ({"text": {"pool_type": "eos", "eos_id": 320}}, False),
    "causal, read off the last token": ({"model": {"custom_text": True}, "text": {"pool_type": "last"}}, False),
    "a vocabulary that goes on after the end token": ({"text": {"vocab_size": 49500}}, False),
    "a class token": ({"model": {"custom_text": True}, "text": {"embed_cls": True}}, False),
    "a projection with a bias, quick gelu": ({"model": {"quick_gelu": True}, "text": {"proj_bias": True}}, True),
    "no projection, a short context and canonical texts": (
        {"text": {"proj_type": "none", "context_length": 16, "tokenizer_kwargs": {"clean": "canonicalize"}}},
        True,
    ),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.usefixtures("exported_here")
def test_models_of_all_kinds_have_open_clips_vectors(tmp_path: Path, make_model: MakeModel, kind: str) -> None:
    changes, may_be_cut = MODELS[kind]
    name = make_model(**changes)
    original = open_clip.create_model(name).eval()

    model = EmbeddingModel(name, "-", settings=settings_with(tmp_path / "cache", "float32"))

    assert (model.manifest.cut_after is not None) is may_be_cut
    texts = texts_by_open_clip(original, open_clip.get_tokenizer(name), TEXTS)
    assert lowest(model.embed_texts(TEXTS), texts) >= FLOORS["float32"]
    pictures = [noise(300, 200), noise(50, 77)]
    assert lowest(model.embed_images(pictures), pictures_by_open_clip(original, pictures)) >= FLOORS["float32"]


def space(name: str) -> str:
    return source.load(name, "-").space()


def nudge(parameter: str) -> Any:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights[parameter].view(-1)[0] += 1e-3

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"change": nudge("visual.conv1.weight")},
        {"change": nudge("text_projection")},
        {"preprocess": {"mean": [0.5, 0.5, 0.5]}},
        {"preprocess": {"interpolation": "bilinear"}},
        {"preprocess": {"resize_mode": "squash"}},
        {"text": {"tokenizer_kwargs": {"clean": "canonicalize"}}},
        {"text": {"heads": 4}},
        {"model": {"quick_gelu": True}},
    ],
    ids=["an image weight", "a text weight", "mean", "interpolation", "resizing", "cleaning", "heads", "activation"],
)
def test_another_model_is_another_space(make_model: MakeModel, changes: dict[str, Any]) -> None:
    assert space(make_model("other", **changes)) != space(make_model("one"))


@pytest.mark.parametrize(
    "changes", [{}, {"file": "model.safetensors"}, {"file": "open_clip_pytorch_model.pth"}], ids=str
)
def test_equal_weights_are_one_space_wherever_they_come_from(make_model: MakeModel, changes: dict[str, Any]) -> None:
    assert space(make_model("other", **changes)) == space(make_model("one"))


def test_the_scale_of_similarities_is_no_part_of_the_space(make_model: MakeModel) -> None:
    assert space(make_model("other", change=nudge("logit_scale"))) == space(make_model("one"))


class Broken:
    """An engine whose vectors are all alike."""

    name: EngineName = "openvino"
    device: Device = "cpu"
    streams, tokens, pictures = 1, 100, 4

    def __init__(self, precision: Precision, number: float, dimensions: int) -> None:
        self.precision = precision
        self._number = number
        self._dimensions = dimensions

    def embed_ids(self, ids: Ids) -> Vectors:
        return np.full((len(ids), self._dimensions), self._number, np.float32)

    def embed_pixels(self, pixels: Pixels) -> Vectors:
        return np.full((len(pixels), self._dimensions), self._number, np.float32)


@pytest.fixture
def small_prepared(model: EmbeddingModel, cache: Path) -> Prepared:
    return Prepared(cache / model.space, model.manifest)


@pytest.mark.parametrize("number", [1.0, -1.0, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("precision", SELF_TEST_FLOOR)
def test_an_engine_that_gives_other_vectors_fails_the_self_test(
    small_prepared: Prepared, precision: Precision, number: float
) -> None:
    broken = EmbeddingModel.assemble(small_prepared, Broken(precision, number, small_prepared.manifest.dimensions))

    with pytest.raises(ModelUnavailable, match=r"^the self-test failed: [^\n]+$"):
        broken.self_test()


def test_an_engine_with_broken_pictures_alone_fails_the_self_test(
    small_prepared: Prepared, model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Broken("float32", 1.0, small_prepared.manifest.dimensions)
    monkeypatch.setattr(engine, "embed_ids", model.engine.embed_ids)

    with pytest.raises(ModelUnavailable, match=r"^the self-test failed: "):
        EmbeddingModel.assemble(small_prepared, engine).self_test()


def test_a_model_fails_to_load_if_its_self_test_fails(
    small: str, cache: Path, model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken("float32", 1.0, model.dimensions)
    monkeypatch.setattr("app.embeddings.model._start", lambda *_: broken)

    with pytest.raises(ModelUnavailable, match=r"^the self-test failed: "):
        EmbeddingModel(small, "-", settings=settings_with(cache, "float32"))


def test_a_sound_engine_passes_the_self_test(model: EmbeddingModel) -> None:
    model.self_test()

    assert model.fidelity() >= FLOORS["float32"]


def test_half_precision_under_the_floor_falls_back_to_float32_with_a_warning(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = make_model()
    export_here(name, "-", tmp_path / "cache")
    prepared = find(tmp_path / "cache", name, "-")
    assert prepared is not None
    unfaithful = Manifest(**vars(prepared.manifest) | {"fidelity": {"float32": 1.0, "bfloat16": 0.99}})
    monkeypatch.setattr("app.embeddings.model.prepare", lambda _: Prepared(prepared.folder, unfaithful))
    monkeypatch.setattr("app.embeddings.engines.choice._native", lambda _: True)

    model = EmbeddingModel(name, "-", settings=settings_with(tmp_path / "cache", "auto"))

    assert model.engine.precision == "float32"
    assert [record for record in caplog.records if record.levelno == logging.WARNING and "0.99000" in record.message]


QUIET = """
import json, sys
seen = []
watched = ("socket.", "subprocess.", "os.posix_spawn", "os.fork", "os.exec")
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(watched) else None)
from app.embeddings import EmbeddingModel
from app.embeddings.reference import pictures
model = EmbeddingModel(sys.argv[1], "-")
vectors = [*model.embed_texts(["a stormy sea"]), *model.embed_images(pictures()[:1])]
unwanted = ("torch", "torchvision", "open_clip", "transformers", "huggingface_hub", "safetensors")
heavy = [name for name in unwanted if name in sys.modules]
telemetry = sys.modules.get("openvino_telemetry")
print(json.dumps({"seen": seen, "heavy": heavy, "telemetry": str(telemetry), "vectors": len(vectors)}))
"""


def test_a_prepared_model_serves_without_torch_telemetry_network_or_another_process(
    small: str, cache: Path, model: EmbeddingModel
) -> None:
    environment = {**os.environ, "MODEL_CACHE_DIR": str(cache), "ENGINE": "openvino", "PRECISION": "float32"}
    done = subprocess.run(
        [sys.executable, "-c", QUIET, small], env=environment, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == {"seen": [], "heavy": [], "telemetry": "None", "vectors": 2}
