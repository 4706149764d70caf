"""Makes a prepared model out of an `open_clip` one.

    python -m app.embeddings.export ARCHITECTURE PRETRAINED CACHE

Run as a process of its own, so that torch stays in it. Needs torch; nothing that serves on a CPU imports this module.
"""

import errno
import logging
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino
import torch

from app.config import Precision
from app.embeddings import original_tokenizer, reference, source
from app.embeddings.engines import Vectors
from app.embeddings.engines.openvino import OpenVinoEngine, native
from app.embeddings.model import REFUSED, EmbeddingModel
from app.embeddings.prepared import (
    FORMAT,
    REFERENCE_FILE,
    Manifest,
    Prepared,
    checksum,
    exporting,
    find,
    fingerprint,
    published,
    remember,
    verified,
)
from app.embeddings.towers import ImageTower, TextTower, cut_after, masks_padding
from app.errors import ModelUnavailable

logger = logging.getLogger("app.embeddings.export")  # not __name__, which is "__main__" here

# What rounding leaves between two ways to compute in float32. Less means that the export changed the model.
FLOAT32_FLOOR = 0.999999
MEASURED: tuple[Precision, ...] = ("float32", "bfloat16", "float16")


def export(architecture: str, pretrained: str, cache: Path) -> None:
    """Put the model into the cache, unless another process has done so meanwhile.

    Raises:
        ModelUnavailable: there is no such model, its weights can't be had, or the cache can't be written.
    """
    try:
        with exporting(cache):
            if find(cache, architecture, pretrained):
                return
            # Asked for before the weights are read: what replaces them meanwhile is exported at the next start.
            weights = fingerprint(architecture, pretrained)
            origin = source.load(architecture, pretrained)
            space = origin.space()
            if not verified(cache / space):
                with published(cache, space) as folder:
                    manifest = _write(origin, pretrained, space, folder)
                    del origin  # what follows reads the exported towers, which may be gigabytes themselves
                    with_fidelity(Prepared(folder, manifest)).write(folder)
            remember(cache, architecture, pretrained, space, weights)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelUnavailable(f"MODEL_CACHE_DIR={cache} can't be written ({reason})") from error


@torch.inference_mode()
def _write(origin: source.Source, pretrained: str, space: str, folder: Path) -> Manifest:
    """Fill a folder with all but the manifest, which is returned."""
    read, context_length = origin.tokenizer, origin.tokenizer.context_length
    cut = cut_after(origin.model, original_tokenizer.end_of_text(read))
    masked = masks_padding(origin.model, original_tokenizer.padding(read))
    texts = read(list(reference.TEXTS))
    text = TextTower(origin.model, cut is not None, original_tokenizer.start_of_text(read))
    length = openvino.Dimension(context_length) if cut is None and not masked else openvino.Dimension(text.shortest, -1)
    _convert(origin.architecture, text, texts[:2], openvino.PartialShape([-1, length]), folder / "text.xml")
    size = (origin.preprocessing.height, origin.preprocessing.width, 3)
    _convert(
        origin.architecture,
        ImageTower(origin.model, origin.preprocessing, torch.float32),
        torch.zeros(2, *size, dtype=torch.uint8),
        openvino.PartialShape([-1, *size]),
        folder / "image.xml",
    )
    original_tokenizer.save(read, folder, origin.model.vocab_size)
    pictures = torch.stack([origin.transform(picture) for picture in reference.pictures()])
    expected: dict[str, Vectors] = {
        "texts": origin.model.encode_text(texts).numpy(),
        "pictures": origin.model.encode_image(pictures).numpy(),
    }
    np.savez(folder / REFERENCE_FILE, allow_pickle=False, **expected)
    return Manifest(
        format=FORMAT,
        space=space,
        architecture=origin.architecture,
        pretrained=pretrained,
        dimensions=expected["texts"].shape[1],
        context_length=context_length,
        cut_after=cut,
        masks_padding=masked,
        preprocessing=origin.preprocessing,
        fidelity={},
        made_with={name: version(name) for name in ("torch", "open_clip_torch", "openvino", "tate-embeddings")},
        files={file.name: checksum(file) for file in sorted(folder.iterdir())},
    )


def _convert(
    architecture: str, tower: torch.nn.Module, example: torch.Tensor, shape: openvino.PartialShape, file: Path
) -> None:
    kind = openvino.Type.u8 if example.dtype == torch.uint8 else openvino.Type.i64
    try:
        converted = openvino.convert_model(tower, example_input=example, input=[(shape, kind)])
    except Exception as error:  # OpenVINO, and whatever a tower raises while it is traced
        logger.debug("OpenVINO refused", exc_info=True)
        raise ModelUnavailable(
            f"MODEL_NAME={architecture} can't be exported: its {file.stem} tower computes what OpenVINO doesn't read "
            f"({type(error).__name__})"
        ) from error
    try:
        openvino.save_model(converted, file, compress_to_fp16=False)
    except RuntimeError as error:  # OpenVINO doesn't say why it couldn't write
        raise OSError(errno.EIO, f"{file.name} could not be written; is the disk full?") from error


def with_fidelity(prepared: Prepared) -> Manifest:
    """A model's manifest with how faithful it is, measured, in each precision that this CPU computes in.

    Raises:
        ModelUnavailable: it isn't the model that it was exported from.
    """
    fidelity = {}
    for precision in filter(native, MEASURED):
        cosine = fidelity[precision] = _measured(prepared, precision)
        logger.info("lowest cosine to open_clip in %s: %.7f", precision, cosine)
        if precision == "float32" and not cosine >= FLOAT32_FLOOR:
            raise ModelUnavailable(
                f"exported, {prepared.manifest.architecture} gives other vectors than in open_clip (cosine "
                f"{cosine:.7f} in float32), so it is not served; please report it with the model's name"
            )
    return Manifest(**vars(prepared.manifest) | {"fidelity": fidelity})


def _measured(prepared: Prepared, precision: Precision) -> float:
    engine = OpenVinoEngine(prepared.folder, precision, torch.get_num_threads())
    return EmbeddingModel.assemble(prepared, engine).fidelity()


if __name__ == "__main__":
    # open_clip reports through the root logger what we report ourselves; torch warns of its own future.
    logging.basicConfig(level=logging.CRITICAL, format="%(message)s")
    logging.getLogger("app").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", module="torch")
    try:
        export(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except ModelUnavailable as problem:
        print(problem)
        sys.exit(REFUSED)
