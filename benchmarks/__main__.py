"""Prints, as Markdown, how near to `open_clip` the vectors are, how fast they come, and what the service takes.

Everything is measured on ViT-B-32 with seeded random weights, which cost as much as the trained ones.
"""

import os
import platform
import tempfile
from pathlib import Path

import open_clip
import torch
from app.config import Precision, Settings
from app.embeddings import EmbeddingModel
from app.embeddings.engines.openvino import native
from app.resources import cores

from benchmarks import decoding, fidelity, footprint, lists, speed

ARCHITECTURE = "ViT-B-32"


def main() -> None:
    """Prepare the model in a folder of its own, measure, and print a section for each question."""
    wanted: tuple[Precision, ...] = ("float32", "bfloat16")
    precisions = [precision for precision in wanted if native(precision)]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "random.pt"
        torch.manual_seed(0)
        original = open_clip.create_model(ARCHITECTURE).eval()
        torch.save(original.state_dict(), checkpoint)
        models = {
            precision: EmbeddingModel(
                ARCHITECTURE, str(checkpoint), settings=Settings.load(model_cache_dir=folder, precision=precision)
            )
            for precision in precisions
        }
        print(f"{_machine()}, {cores()} cores, Python {platform.python_version()}, torch {torch.__version__}\n")
        print(fidelity.table(original, models))
        print(speed.table(original, models))
        print(decoding.table())
        del original, models
        print(lists.table(checkpoint, Path(folder)))
        print(footprint.table(checkpoint, Path(folder), precisions))


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return f"{platform.machine()} {os.name}"


if __name__ == "__main__":
    main()
