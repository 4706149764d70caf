"""The trainer of the bundled model, on a few scenes and for a few steps: how it works, not how good it gets."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from app.demo.scene import imagine
from app.embeddings import EmbeddingModel
from app.embeddings.engines.openvino import OpenVinoEngine
from app.embeddings.prepared import verified
from safetensors.torch import load_file
from tools.bundle_tiny_gallery import bundle
from tools.evaluate_tiny_gallery import Task, scores, table
from tools.paint_scenes import CHUNK
from tools.train_tiny_gallery import Plan, train

from tools import train_tiny_gallery

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning"),
]

PLAN = Plan(
    captions_until=1,
    attributes_until=2,
    steps=4,
    scenes=2 * CHUNK,
    large=CHUNK,
    batch=16,
    judges=12,
    checkpoint_every=2,
)


@pytest.fixture(scope="module", autouse=True)
def _a_small_vocabulary() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_tiny_gallery, "VOCABULARY_FROM", 100)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(folder, PLAN)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    kept: dict[str, torch.Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    return kept


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "scenes", tmp_path / "scenes")

    train(tmp_path, PLAN, until=2)
    train(tmp_path, PLAN)

    resumed = weights(tmp_path)
    assert all(torch.allclose(resumed[name], tensor, atol=1e-6) for name, tensor in weights(trained).items())


def test_the_log_holds_the_scores_of_every_checkpoint(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]

    assert [line["step"] for line in lines] == [2, 4]
    assert all({"text to picture, recall@1", "weather", "style"} <= set(line) for line in lines)


def test_words_that_no_caption_has_weigh_nothing(trained: Path) -> None:
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    vocabulary = weights(trained)["token_embedding.weight"]
    (unknown,) = tokenizer.encode("xylophone")[:1]

    assert not vocabulary[unknown].any()
    assert vocabulary[tokenizer.encode("portrait")].any()


def test_a_trained_model_is_bundled_in_half_precision_and_served_as_it_was(trained: Path, tmp_path: Path) -> None:
    place = bundle(trained, tmp_path / "bundled")

    prepared = verified(place)
    assert prepared
    stored = load_file(tmp_path / "bundled" / "open_clip_model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float16}
    model = EmbeddingModel.assemble(prepared, OpenVinoEngine(place, "float32", 1))
    assert model.fidelity() > 0.999999
    assert prepared.manifest.architecture == "tiny-gallery"
    assert not [file for file in place.iterdir() if str(tmp_path).encode() in file.read_bytes()]


def test_scores_are_perfect_for_a_model_that_knows_everything() -> None:
    scenes = [imagine(seed) for seed in range(40)]
    captions = [f"caption {seed}" for seed in range(40)]
    pictures = np.eye(40, dtype=np.float32)
    judged = scores(
        Task(scenes, captions, np.zeros((40, 1, 1, 3), np.uint8)),
        pictures,
        lambda texts: pictures[[captions.index(text) if text in captions else 0 for text in texts]],
    )

    assert judged["text to picture, recall@1"] == judged["picture to text, recall@5"] == 1
    assert judged["colour"] < 0.5
    assert table({"scene": 0.5}).splitlines()[-1] == "| scene | 0.500 |"
