"""Puts a trained model into the package: weights in half the space, exported, ready to serve without torch.

    python -m tools.bundle_tiny_gallery FOLDER

FOLDER is that of `tools.train_tiny_gallery`. The card in `app/bundled/tiny-gallery/README.md` is written by people.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino
import torch
from app.config import ALIASES, BUNDLED, DEMONSTRATION
from app.embeddings.export import export, with_fidelity
from app.embeddings.prepared import LOCAL_SCHEMA, MANIFEST_FILE, Manifest, Prepared, checksum
from openvino import opset15 as opset
from safetensors.torch import save_file

WEIGHTS = "open_clip_model.safetensors"
CONFIGURATION = "open_clip_config.json"
WEIGHTS_NAME = ALIASES[DEMONSTRATION][1]


def bundle(folder: Path, target: Path = BUNDLED) -> Path:
    """Put the model that was trained in a folder where the bundled one is; where it was exported to is returned."""
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "model" / CONFIGURATION, target / CONFIGURATION)
    save_file({name: _half(tensor) for name, tensor in weights.items()}, target / WEIGHTS)
    (target / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
    for old in target.glob(f"*/{MANIFEST_FILE}"):
        shutil.rmtree(old.parent)
    with tempfile.TemporaryDirectory() as cache:
        export(f"{LOCAL_SCHEMA}{target}", WEIGHTS_NAME, Path(cache))
        (exported,) = (manifest.parent for manifest in Path(cache).glob(f"*/{MANIFEST_FILE}"))
        for tower in exported.glob("*.xml"):
            _compress(tower)
        manifest = Manifest.read(exported)
        place = target / manifest.space
        shutil.copytree(exported, place)
    described = {
        "architecture": DEMONSTRATION,
        "files": {name: checksum(place / name) for name in sorted(manifest.files)},
    }
    with_fidelity(Prepared(place, Manifest(**vars(manifest) | described))).write(place)
    return place


def _half(tensor: torch.Tensor) -> torch.Tensor:
    """Floats in half precision; what counts something stays as it is."""
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


def _compress(tower: Path) -> None:
    """Write an exported tower anew, with everything in half precision that loses nothing by it."""
    model = openvino.Core().read_model(tower)
    for constant in model.get_ops():
        if constant.get_type_name() != "Constant" or constant.get_element_type() != openvino.Type.f32:
            continue
        half = constant.data.astype(np.float16)
        if np.array_equal(half.astype(np.float32), constant.data):
            widened = opset.convert(opset.constant(half), "f32")
            for reader in constant.output(0).get_target_inputs():
                reader.replace_source_output(widened.output(0))
    small = tower.with_name(f"small-{tower.name}")
    openvino.save_model(model, small, compress_to_fp16=False)
    small.replace(tower)
    small.with_suffix(".bin").replace(tower.with_suffix(".bin"))


if __name__ == "__main__":
    print(f"bundled in {bundle(Path(sys.argv[1]))}")
