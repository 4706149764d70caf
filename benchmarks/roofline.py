"""What this machine is capable of, and the share of it that the engine reaches by itself.

Pictures, and texts by the batch, are bound by arithmetic: their share is of the rate of a large matrix multiplication.
A single query is bound by reading the weights: its share is of the rate at which all cores read memory.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from itertools import islice
from typing import NamedTuple

import numpy as np
import openvino
import torch
from app.config import Precision
from app.embeddings import EmbeddingModel
from app.embeddings.engines.openvino import HINTS
from app.resources import cores
from numpy.typing import NDArray
from openvino import opset13

from benchmarks.conditions import Conditions
from benchmarks.inputs import FEWEST_WORDS, queries
from benchmarks.prepare import loaded
from benchmarks.report import Figure, Section, rows

ROUNDS = 5
TRY_S = 0.7
SECONDS = 2.0
# Rows, and the side of the square that they are multiplied with: from a batch of pictures to large matrices.
SHAPES = ((400, 768), (512, 1024), (1024, 1024), (2048, 2048))
# Multiplications in a row, so that what a precision costs at the ends of a graph doesn't count.
CHAIN = 4
# In a batch, of which one or as many as there are cores are in the engine at a time.
PICTURES = (1, 4, 8)
TEXTS = (4, 8, 16)
# More than any cache holds.
READ_BYTES = 2**30
READ_COLUMNS = 4096
BYTES: Mapping[Precision, int] = {"float32": 4, "bfloat16": 2}
TYPES: Mapping[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
REQUIRED: Mapping[Precision, float] = {"float32": 0.9, "bfloat16": 0.8}
AFTER: Mapping[Precision, float] = {"float32": 0.97, "bfloat16": 0.9}


class Way(NamedTuple):
    """A way to do some work: what it is called, a piece of it, how many threads do pieces at a time, and its size."""

    name: str
    piece: Callable[[], object]
    threads: int
    size: float

    def rate(self, seconds: float) -> float:
        """Size done in a second, all threads together."""

        def worker(_: int) -> float:
            started, pieces = time.perf_counter(), 0
            while (passed := time.perf_counter() - started) < seconds or not pieces:
                self.piece()
                pieces += 1
            return pieces / passed

        with ThreadPoolExecutor(self.threads) as pool:
            return self.size * sum(pool.map(worker, range(self.threads)))


class Rounds:
    """Rates of several ways, in turn, so that what a neighbour takes away is taken from all of them."""

    def __init__(self, ways: Sequence[Way], rounds: int, seconds: float) -> None:
        self._rates = [{way: way.rate(seconds) for way in ways} for _ in range(rounds)]

    def rate(self, way: Way) -> float:
        """The median over the rounds."""
        return statistics.median(rates[way] for rates in self._rates)

    def share(self, way: Way, of: Way) -> float:
        """The median of what one reaches of another in the same round."""
        return statistics.median(rates[way] / rates[of] for rates in self._rates)


def table(conditions: Conditions) -> Section:
    """A table of the machine and one of the shares; medians of rounds in turn."""
    architecture, seconds = conditions.architecture, conditions.seconds(SECONDS)
    machine, shares, figures = [], [], []
    reading = _fastest(_ways_to_read(conditions), conditions)
    for precision in conditions.precisions:
        model = loaded(conditions, precision)
        query = next(_queries())
        tokens = len(model.tokenize(query).ids)
        picture_flop, text_flop = architecture.image_flop(), architecture.text_flop(tokens)
        weights = architecture.text_weights() * BYTES[precision]

        peak = _fastest(_ways_to_multiply(precision), conditions)
        pictures = _fastest(_ways_to_embed_pictures(model, picture_flop), conditions)
        texts = _fastest(_ways_to_embed_texts(model, text_flop), conditions)
        single = Way("1 thread", partial(model.embed_texts, [query]), 1, weights)
        rounds = Rounds([peak, pictures, texts, reading, single], conditions.rounds(ROUNDS), seconds)

        machine += [
            [f"matrix multiplication, {precision}", f"{rounds.rate(peak) / 1e9:.0f} GFLOP/s", peak.name],
            [f"reading memory, beside {precision}", f"{rounds.rate(reading) / 1e9:.0f} GB/s", reading.name],
        ]
        share = rounds.share(pictures, peak)
        shares += [
            [
                f"pictures, {precision}",
                f"{rounds.rate(pictures) / picture_flop:.1f}/s",
                f"{picture_flop / 1e9:.2f} GFLOP",
                f"{share:.2f} of multiplying",
                pictures.name,
            ],
            [
                f"texts of {tokens} tokens, {precision}",
                f"{rounds.rate(texts) / text_flop:.0f}/s",
                f"{text_flop / 1e9:.2f} GFLOP",
                f"{rounds.share(texts, peak):.2f} of multiplying",
                texts.name,
            ],
            [
                f"one text at a time, {precision}",
                f"{1000 * weights / rounds.rate(single):.2f} ms",
                f"{weights / 1e6:.0f} MB",
                f"{rounds.share(single, reading):.2f} of reading",
                single.name,
            ],
        ]
        name = f"engine alone: pictures, share of the matrix-multiply peak, {precision}"
        figures.append(Figure.at_least(name, share, REQUIRED[precision], AFTER[precision], "{:.2f}"))
    text = (
        "## The machine, and the engine by itself\n\n"
        "What this machine is capable of: the fastest of several ways to multiply large matrices, and to read a large "
        "one.\n\n"
        + rows(["what", "rate", "fastest by"], machine)
        + "\nThe engine alone, decoded pictures and tokenised texts in, with the batch and the threads that are best "
        "for it. The arithmetic is the whole architecture's, left out or not. More than 1 of reading: the weights "
        "stay in the processor's cache.\n\n" + rows(["what", "takes", "each", "share", "best by"], shares)
    )
    return Section(text, figures)


def _fastest(ways: Iterable[Way], conditions: Conditions) -> Way:
    return max(ways, key=lambda way: way.rate(conditions.seconds(TRY_S)))


def _ways_to_read(conditions: Conditions) -> Iterator[Way]:
    matrix = torch.ones(conditions.count(READ_BYTES) // (4 * READ_COLUMNS), READ_COLUMNS)
    vector = torch.ones(READ_COLUMNS)
    size = matrix.numel() * 4
    yield Way("torch, a sum", matrix.sum, 1, size)
    yield Way("torch, a matrix by a vector", partial(torch.mv, matrix, vector), 1, size)


def _ways_to_multiply(precision: Precision) -> Iterator[Way]:
    for height, side in SHAPES:
        size = CHAIN * 2 * height * side**2
        # Scaled so that numbers stay as large as they are, however often they are multiplied.
        operand, square = torch.randn(height, side), torch.randn(side, side) / side**0.5
        chain = [square.to(TYPES[precision])] * CHAIN
        yield Way(f"torch, {height} x {side}", partial(reduce, torch.mm, chain, operand.to(TYPES[precision])), 1, size)
        for streams in sorted({1, cores()}):
            compiled = _compiled(height, square.numpy(), precision, streams)
            piece = partial(_infer, compiled, operand.numpy())
            yield Way(f"OpenVINO, {height} x {side}, {streams} at a time", piece, streams, size)


def _compiled(height: int, square: NDArray[np.float32], precision: Precision, streams: int) -> openvino.CompiledModel:
    parameter = opset13.parameter([height, len(square)], np.float32)
    chain = reduce(
        lambda node, _: opset13.matmul(node, opset13.constant(square), False, False), range(CHAIN), parameter
    )
    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": cores(),
    }
    return openvino.Core().compile_model(openvino.Model([chain], [parameter]), "CPU", options)


def _infer(compiled: openvino.CompiledModel, operand: NDArray[np.float32]) -> None:
    compiled.create_infer_request().infer([operand], share_inputs=True, share_outputs=True)


def _ways_to_embed_pictures(model: EmbeddingModel, flop: int) -> Iterator[Way]:
    preprocessing = model.preprocessing
    shape = (max(PICTURES), preprocessing.height, preprocessing.width, 3)
    pixels = [*np.random.default_rng(0).integers(0, 256, shape, np.uint8)]
    for threads in sorted({1, cores()}):
        for batch in PICTURES:
            name = f"{threads} x {batch} at a time"
            yield Way(name, partial(model.embed_pixels, pixels[:batch]), threads, batch * flop)


def _queries() -> Iterator[str]:
    """Different ones of one length, so that their arithmetic can be counted."""
    return (query for query in queries() if query.count(" ") + 1 == FEWEST_WORDS)


def _ways_to_embed_texts(model: EmbeddingModel, flop: int) -> Iterator[Way]:
    rows_of_ids = [model.tokenize(query).ids for query in islice(_queries(), max(TEXTS))]
    for threads in sorted({1, cores()}):
        for batch in TEXTS:
            name = f"{threads} x {batch} at a time"
            yield Way(name, partial(model.embed_tokens, rows_of_ids[:batch]), threads, batch * flop)
