"""Models with seeded random weights, which cost as much as trained ones, made once for everything that is measured."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from app.config import Precision, Settings
from app.embeddings import EmbeddingModel
from app.embeddings.engines.openvino import native
from app.embeddings.model import prepare

from benchmarks.conditions import Architecture, Conditions, Tower

MODEL = "ViT-B-32"
# For a smoke run, in which no figure means anything.
SMALL = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
WANTED: tuple[Precision, ...] = ("float32", "bfloat16")


def conditions(folder: Path, quick: bool) -> Conditions:
    """Make a model in the folder, prepare it for our service, and say which of the precisions this CPU computes in."""
    model, pretrained, configuration = _small(folder) if quick else _usual(folder)
    prepare(Settings.load(model_name=model, pretrained=pretrained, model_cache_dir=folder))
    image, text = configuration["vision_cfg"], configuration["text_cfg"]
    architecture = Architecture(
        image=Tower(image["width"], image["layers"]),
        text=Tower(text["width"], text["layers"]),
        image_size=image["image_size"],
        patch_size=image["patch_size"],
        dimensions=configuration["embed_dim"],
    )
    precisions = tuple(precision for precision in WANTED if native(precision))
    return Conditions(model, pretrained, architecture, folder, precisions, quick)


def original(conditions: Conditions) -> tuple[Any, Any]:
    """The model as `open_clip` has it, in float32, and its preprocessing."""
    model, _, preprocess = open_clip.create_model_and_transforms(conditions.model, pretrained=conditions.pretrained)
    return model.eval(), preprocess


def loaded(conditions: Conditions, precision: Precision) -> EmbeddingModel:
    """The model as ours has it."""
    settings = Settings.load(model_cache_dir=conditions.cache, precision=precision, device="cpu")
    return EmbeddingModel(conditions.model, conditions.pretrained, settings=settings)


def _usual(folder: Path) -> tuple[str, str, dict[str, Any]]:
    checkpoint = folder / "random.pt"
    torch.manual_seed(0)
    torch.save(open_clip.create_model(MODEL).state_dict(), checkpoint)
    configuration: dict[str, Any] = open_clip.get_model_config(MODEL)
    return MODEL, str(checkpoint), configuration


def _small(folder: Path) -> tuple[str, str, dict[str, Any]]:
    home = folder / "small"
    home.mkdir()
    (home / "open_clip_config.json").write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {}}), "utf-8")
    name = f"local-dir:{home}"
    torch.manual_seed(0)
    torch.save(open_clip.create_model(name).state_dict(), home / "open_clip_pytorch_model.bin")
    return name, "random", SMALL
