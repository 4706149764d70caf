"""The CPU engine: exported towers, no torch."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import openvino

from app.config import Device, Precision
from app.config import Engine as EngineName
from app.embeddings.engines import Ids, Pixels, Vectors

HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
CAPABILITIES: dict[Precision, str] = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16"}

MADV_DONTNEED = 4


def native(precision: Precision) -> bool:
    """Whether this CPU computes in a precision itself."""
    return CAPABILITIES[precision] in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """Both towers, compiled for this CPU."""

    name: EngineName = "openvino"
    device: Device = "cpu"

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        self.precision = precision
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Several workers pinned to the same cores would fight for them.
            "ENABLE_CPU_PINNING": False,
        }
        self._text = core.compile_model(folder / "text.xml", "CPU", options)
        self._image = core.compile_model(folder / "image.xml", "CPU", options)
        for tower in (self._text, self._image):
            _first_inference(tower)
        _forget_pages_of(folder)

    def embed_ids(self, ids: Ids) -> Vectors:
        return _run(self._text, ids)

    def embed_pixels(self, pixels: Pixels) -> Vectors:
        return _run(self._image, pixels)


def _run(tower: openvino.CompiledModel, batch: Ids | Pixels) -> Vectors:
    # A request of its own per call: requests aren't safe to share, and one costs far less than an inference.
    vectors: Vectors = tower.create_infer_request().infer([batch])[0].copy()
    return vectors


def _first_inference(tower: openvino.CompiledModel) -> None:
    """Let OpenVINO bring the weights into the order that it computes with, which it leaves until they are needed."""
    shape = [1 if size.is_dynamic else size.get_length() for size in tower.input(0).partial_shape]
    _run(tower, np.zeros(shape, tower.input(0).element_type.to_dtype()))


def _forget_pages_of(folder: Path) -> None:
    """Give back the memory of the weights' files, which stay mapped but are hardly read again: half of the process.

    The kernel would take it back under pressure, but counts it as ours until then. What is read again after all
    comes from the page cache.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".bin") and str(folder.resolve()) in line:
            start, end = (int(address, 16) for address in line.split(" ", 1)[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)
