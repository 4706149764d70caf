"""The GPU engine: `open_clip`'s own towers, on CUDA, on a Mac, or for comparison on the CPU."""

from typing import Any

import torch

from app.config import Device, Precision
from app.config import Engine as EngineName
from app.embeddings import original_tokenizer, source
from app.embeddings.engines import Ids, Pixels, Vectors
from app.embeddings.prepared import Manifest
from app.embeddings.towers import ImageTower, TextTower

# Streams, tokens and pictures. A GPU computes one batch while the next is brought to it. An H200 took 15,000 pictures a
# second in batches of 64, 20,000 in batches of 128 and 23,000 of 256, for ViT-B-32 in half precision.
ON_CPU = 1, 160, 4
ON_GPU = 2, 64 * 77, 128


class TorchEngine:
    """Both towers in torch. CUDA's calls are queued by the driver, so that threads need no lock of ours."""

    name: EngineName = "torch"

    def __init__(
        self,
        weights: tuple[str, str],
        manifest: Manifest,
        precision: Precision,
        device: Device,
        index: int,
        threads: int,
    ) -> None:
        self.precision = precision
        self.device: Device = device
        self.streams, self.tokens, self.pictures = ON_CPU if device == "cpu" else ON_GPU
        self._place = f"cuda:{index}" if device == "cuda" else device
        torch.set_num_threads(threads)
        # It plans anew for each shape of a batch, and texts come in many: 84 ms for each on an H200, in the place of 5.
        torch.backends.cuda.enable_cudnn_sdp(False)
        loaded = source.load(*weights, precision, self._place)
        start = original_tokenizer.start_of_text(loaded.tokenizer)
        self._text = TextTower(loaded.model, manifest.cut_after is not None, start).eval()
        self._image = ImageTower(loaded.model, manifest.preprocessing, source.TYPES[precision]).to(self._place).eval()

    def embed_ids(self, ids: Ids) -> Vectors:
        return self._run(self._text, ids)

    def embed_pixels(self, pixels: Pixels) -> Vectors:
        return self._run(self._image, pixels)

    @torch.inference_mode()
    def _run(self, tower: torch.nn.Module, batch: Any) -> Vectors:
        given = torch.from_numpy(batch)
        if self.device == "cuda":  # from pinned memory the copy runs beside what is being computed
            given = given.pin_memory().to(self._place, non_blocking=True)
        vectors: Vectors = tower(given.to(self._place)).float().cpu().numpy()
        return vectors
