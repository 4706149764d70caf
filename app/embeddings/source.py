"""Models as `open_clip` gives them: by name and tag through its own download, or from a checkpoint file.

Needs torch; nothing that serves on a CPU imports this module.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub.constants
import open_clip
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.transform import PreprocessCfg, image_transform_v2

from app.config import Precision
from app.embeddings import original_tokenizer, pair
from app.embeddings.original_tokenizer import Original
from app.embeddings.prepared import LOCAL_SCHEMA
from app.embeddings.preprocess import Preprocessing
from app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

HUB_TIMEOUT_S = 5.0

TYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
OPEN_CLIP_PRECISIONS: dict[Precision, str] = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
# Parameters that scale similarities in training and never touch a vector.
NOT_IN_VECTORS = ("logit_scale", "logit_bias")
# What a text tower's configuration says of its file and of the library that wrote it.
NOT_OF_THE_TEXT_TOWER = ("_name_or_path", "architectures", "dtype", "transformers_version")
# Raised when what we do to a picture before open_clip's own preprocessing changes: vectors change with it.
PICTURE_RULES = 1


@dataclass(frozen=True)
class Source:
    """An `open_clip` model with its own tokenizer and preprocessing, which ours must equal."""

    model: Any
    tokenizer: Original
    transform: Any
    preprocessing: Preprocessing
    architecture: str

    def space(self) -> str:
        """A digest over everything that a vector depends on: weights, architecture, tokenizer, preprocessing."""
        digest = hashlib.sha256()
        description = {
            "class": type(self.model).__name__,
            "configuration": open_clip.get_model_config(pair.IMAGES.get(self.architecture, self.architecture)),
            "tokenizer": original_tokenizer.description(self.tokenizer),
            "preprocessing": vars(self.preprocessing),
            "picture_rules": PICTURE_RULES,
        }
        text = getattr(self.model, "text", None)
        if isinstance(text, HFTextEncoder):
            settings = text.config.to_diff_dict()  # what isn't the library's default, which may come and go
            description["text"] = {name: settings[name] for name in settings if name not in NOT_OF_THE_TEXT_TOWER}
        digest.update(json.dumps(description, sort_keys=True).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            if name not in NOT_IN_VECTORS:
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().data)
        return digest.hexdigest()[:16]


def load(architecture: str, pretrained: str, precision: Precision = "float32", device: str = "cpu") -> Source:
    """Build a model with its weights, downloading them if they aren't on this machine.

    Raises:
        ModelUnavailable: there is no such model, or its weights can't be had.
    """
    if not _is_here(architecture, pretrained) or _asks_for_text(architecture):
        _stay_offline_without_a_hub()
    # Before the weights where it can be: their download would be for nothing.
    tokenizer = None if ":" in architecture else _tokenizer(architecture)
    model = _model(architecture, pretrained, precision, device)
    tokenizer = tokenizer or _tokenizer(architecture)
    model.eval()
    recorded = open_clip.get_model_preprocess_cfg(model)
    height, width = _pair(recorded["size"])
    preprocessing = Preprocessing(
        height=height,
        width=width,
        mean=_triple(recorded["mean"]),
        std=_triple(recorded["std"]),
        interpolation="bilinear" if recorded["interpolation"] == "bilinear" else "bicubic",
        resize_mode=recorded["resize_mode"],
        fill_color=recorded["fill_color"],
    )
    transform = image_transform_v2(PreprocessCfg(**recorded), is_train=False)
    return Source(model, tokenizer, transform, preprocessing, architecture)


def _model(architecture: str, pretrained: str, precision: Precision, device: str) -> Any:
    images = pair.IMAGES.get(architecture, architecture)
    try:
        model = open_clip.create_model(
            images,
            pretrained=None if ":" in images else pretrained,
            precision=OPEN_CLIP_PRECISIONS[precision],
            device=device,
            require_pretrained=True,
            force_custom_text=architecture in pair.IMAGES,
        )
    except Exception as error:  # open_clip, torch and the hub raise whatever they like
        logger.debug("open_clip refused", exc_info=True)
        raise ModelUnavailable(_explanation(images, pretrained, error)) from error
    if architecture in pair.IMAGES:
        del model.text  # gigabytes, before the next ones
        model.text = pair.text_tower(architecture).to(device)
    if isinstance(getattr(model, "text", None), HFTextEncoder):
        model.text.to(TYPES[precision])  # open_clip leaves embeddings and norms behind, which these towers don't take
    return model


def _tokenizer(architecture: str) -> Original:
    in_pair = architecture in pair.IMAGES
    return pair.tokenizer(architecture) if in_pair else original_tokenizer.of_architecture(architecture)


def _asks_for_text(architecture: str) -> bool:
    """Whether the text tower's configuration or the tokenizer comes from a hub, wherever the weights are."""
    if architecture in pair.IMAGES:
        return True
    try:
        text = (open_clip.get_model_config(architecture) or {}).get("text_cfg", {})
    except (OSError, ValueError):
        return False  # create_model says what is wrong with it
    return "hf_model_name" in text or (":" not in architecture and "hf_tokenizer_name" in text)


def _is_here(architecture: str, pretrained: str) -> bool:
    """Whether the weights are a file or folder of this machine, so that no hub has a say."""
    return architecture.startswith(LOCAL_SCHEMA) or (":" not in architecture and Path(pretrained).exists())


def _stay_offline_without_a_hub() -> None:
    """Let the hub's client look only at this machine when no hub answers; it would retry for minutes."""
    try:
        httpx.head(huggingface_hub.constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
    except (httpx.HTTPError, OSError):
        huggingface_hub.constants.HF_HUB_OFFLINE = True


def _explanation(architecture: str, pretrained: str, error: Exception) -> str:
    if architecture.startswith(LOCAL_SCHEMA):
        return f"MODEL_NAME={architecture} holds no OpenCLIP model ({type(error).__name__})"
    known = ":" in architecture or open_clip.get_model_config(architecture) is not None
    if not known:
        return f"MODEL_NAME={architecture} is no OpenCLIP architecture. Example: MODEL_NAME=ViT-B-32"
    if ":" not in architecture and not open_clip.pretrained.is_pretrained_cfg(architecture, pretrained):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture))
        if not Path(pretrained).exists():
            return f"PRETRAINED={pretrained} is neither a file nor a tag of {architecture}; its tags are {tags}"
        return f"PRETRAINED={pretrained} holds no weights of {architecture} ({type(error).__name__})"
    return (
        f"the weights {pretrained} of {architecture} are not on this machine and could not be downloaded from "
        f"{huggingface_hub.constants.ENDPOINT}. With a network, run 'tate-embeddings prepare'; "
        "without one, name a checkpoint file (PRETRAINED=/models/weights.safetensors), or set MODEL_CACHE_DIR to "
        "a folder prepared elsewhere"
    )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _triple(value: float | tuple[float, float, float]) -> tuple[float, float, float]:
    return (value, value, value) if isinstance(value, float | int) else (value[0], value[1], value[2])
