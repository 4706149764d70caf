"""What only these tests share: models of all kinds, made and exported in this process, and one from a stand-in hub."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from app.config import Settings
from app.embeddings import EmbeddingModel, export
from app.embeddings import model as model_module
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch.jit._trace import TracerWarning

from tests.conftest import SMALL
from tests.hub import DEFAULT_REPOSITORY, WEIGHTS, refusing, serving

MakeModel = Callable[..., str]


@pytest.fixture(scope="session")
def no_hub() -> Iterator[str]:
    """The address of a hub that isn't there."""
    with refusing() as url:
        yield url


@pytest.fixture(autouse=True)
def _nothing_leaves_this_machine(no_hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", no_hub)  # for the processes that tests start
    ask(no_hub, monkeypatch)


def ask(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's client in this process ask there, though it found that nobody answers before."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # which remembers whom it asked first


@pytest.fixture
def exported_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports happen in this process, which has torch already: a process of their own takes seconds to import it."""
    monkeypatch.setattr(model_module, "_export_in_another_process", export_here)


def export_here(architecture: str, pretrained: str, cache: Path) -> None:
    """Export in this process, without measuring how faithful the result is: that takes a third of the time."""
    with warnings.catch_warnings(), mock.patch.object(export, "MEASURED", ()):
        warnings.filterwarnings("ignore", category=TracerWarning)  # whether there is a mask doesn't vary
        export.export(architecture, pretrained, cache)


def write_model(
    folder: Path,
    *,
    model: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
    vision: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    seed: int = 0,
    change: Callable[[dict[str, torch.Tensor]], None] = lambda weights: None,
    file: str = "open_clip_pytorch_model.bin",
) -> str:
    """Write a model of `open_clip`'s into a folder, the small one with some of it changed; its name is returned."""
    configuration: dict[str, Any] = deepcopy(SMALL)
    configuration["model_cfg"] |= model or {}
    configuration["model_cfg"]["text_cfg"] |= text or {}
    configuration["model_cfg"]["vision_cfg"] |= vision or {}
    configuration["preprocess_cfg"] |= preprocess or {}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(configuration))
    name = f"local-dir:{folder}"
    torch.manual_seed(seed)
    weights: dict[str, torch.Tensor] = open_clip.create_model(
        name, load_weights=False, pretrained_text=False
    ).state_dict()
    change(weights)
    if file.endswith(".safetensors"):
        save_file(weights, folder / file)
    else:
        torch.save(weights, folder / file)
    return name


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a model as `write_model` does, into a folder of this test's own."""

    def make(folder: str = "model", **changes: Any) -> str:
        return write_model(tmp_path / folder, **changes)

    return make


@dataclass(frozen=True)
class Downloaded:
    """What the command `prepare` did when it was left to the defaults, with a hub to download from."""

    cache: Path
    environment: Mapping[str, str]
    done: subprocess.CompletedProcess[str]
    requests: Sequence[str]


def command(*arguments: str, environment: Mapping[str, str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture(scope="session")
def downloaded(vit_b_32: Path, tmp_path_factory: pytest.TempPathFactory) -> Downloaded:
    """The default model, from a hub whose weights are random."""
    folder = tmp_path_factory.mktemp("downloaded")
    weights = folder / WEIGHTS
    save_file(torch.load(vit_b_32, mmap=True), weights)
    environment = {"HF_HOME": str(folder / "hub"), "MODEL_CACHE_DIR": str(folder / "cache"), "LOG_FORMAT": "json"}
    for name in ("MODEL_NAME", "PRETRAINED"):
        os.environ.pop(name, None)
    with serving({f"{DEFAULT_REPOSITORY}/{WEIGHTS}": weights}) as hub:
        done = command("prepare", environment={**environment, "HF_ENDPOINT": hub.url})
        requests = list(hub.requests)
    return Downloaded(folder / "cache", environment, done, requests)


@pytest.fixture(scope="session")
def real(downloaded: Downloaded) -> EmbeddingModel:
    """The real architecture in float32, as the default settings name it."""
    assert downloaded.done.returncode == 0, downloaded.done.stderr
    settings = Settings.load(_env_file=None, model_cache_dir=downloaded.cache, precision="float32", engine="openvino")
    return EmbeddingModel("ViT-B-32", "laion2b_s34b_b79k", settings=settings)


@pytest.fixture(scope="session")
def real_open_clip(vit_b_32: Path) -> Any:
    """What the real architecture is judged by."""
    return open_clip.create_model("ViT-B-32", pretrained=str(vit_b_32)).eval()


@pytest.fixture(scope="session")
def small_open_clip(small: str) -> Any:
    """What the small model is judged by."""
    return open_clip.create_model(small).eval()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture that shows every pixel that is out of place."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8), "RGB")


@torch.inference_mode()
def texts_by_open_clip(model: Any, tokenizer: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Texts' vectors by `open_clip` itself."""
    vectors: NDArray[np.float32] = model.encode_text(tokenizer(list(texts))).float().numpy()
    return vectors


@torch.inference_mode()
def pictures_by_open_clip(model: Any, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Pictures' vectors by `open_clip` itself, its preprocessing included."""
    recorded = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    transform = open_clip.transform.image_transform_v2(recorded, is_train=False)
    tensors = torch.stack([transform(picture) for picture in pictures])
    vectors: NDArray[np.float32] = model.encode_image(tensors).float().numpy()
    return vectors
