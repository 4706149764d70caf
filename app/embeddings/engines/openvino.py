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

# Beyond so many threads the matrices of one batch are too small to divide: better to compute several batches.
THREADS_PER_STREAM = 4
# Each batch reads all weights once, which takes as long as computing some twenty tokens. Beyond these sizes little is
# gained, and whoever comes next waits longer.
TOKENS = 160
PICTURES = 4
# Lone queries of these lengths are computed once at the start: the first of each shape takes some milliseconds more.
USUAL_LENGTHS = range(3, 17)

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
        self.streams = max(1, threads // THREADS_PER_STREAM)
        self.tokens = TOKENS
        self.pictures = PICTURES
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": threads,
            # Work is divided anew where a thread is held up, as decoders and other workers hold up threads here.
            "TBB_PARTITIONER": "AUTO",
            # Several workers pinned to the same cores would fight for them.
            "ENABLE_CPU_PINNING": False,
        }
        self._text = core.compile_model(folder / "text.xml", "CPU", options)
        self._image = core.compile_model(folder / "image.xml", "CPU", options)
        for tower in (self._text, self._image):
            _warm_up(tower)
        _forget_pages_of(folder)

    def embed_ids(self, ids: Ids) -> Vectors:
        return _run(self._text, ids)

    def embed_pixels(self, pixels: Pixels) -> Vectors:
        return _run(self._image, pixels)


def _run(tower: openvino.CompiledModel, batch: Ids | Pixels) -> Vectors:
    # A request of its own per call: requests aren't safe to share, and one costs far less than an inference.
    vectors: Vectors = tower.create_infer_request().infer([batch])[0].copy()
    return vectors


def _warm_up(tower: openvino.CompiledModel) -> None:
    """Let OpenVINO do now what it leaves until a shape is needed, bringing the weights into its own order included."""
    shape = tower.input(0).partial_shape
    lengths = USUAL_LENGTHS if shape[1].is_dynamic else [shape[1].get_length()]
    for length in lengths:
        rest = [size.get_length() for size in list(shape)[2:]]
        _run(tower, np.zeros([1, length, *rest], tower.input(0).element_type.to_dtype()))


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
