"""How near our vectors are to those of `open_clip` in float32."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import open_clip
import torch
from app.config import Precision
from app.embeddings import EmbeddingModel
from app.embeddings.reference import cosines
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

WORDS = ["a", "stormy", "sea", "at", "night", "with", "two", "small", "boats", "and", "a", "lighthouse"]
SHAPES = [(224, 224), (1536, 1200), (640, 480), (333, 500), (64, 64), (17, 23), (1, 1), (1000, 100), (100, 1000)]


@torch.inference_mode()
def table(original: Any, models: Mapping[Precision, EmbeddingModel]) -> str:
    """The lowest cosine over texts of 1 to over 77 tokens, and over pictures of many shapes."""
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    transform = image_transform_v2(PreprocessCfg(), is_train=False)
    texts = [" ".join((WORDS * 8)[:count]) for count in range(1, 100)]
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (h, w, 3), np.uint8)) for w, h in SHAPES]
    expected_texts = original.encode_text(tokenizer(texts)).numpy()
    expected_pictures = original.encode_image(torch.stack([transform(picture) for picture in pictures])).numpy()

    lines = [
        "## Lowest cosine to open_clip in float32\n",
        f"| precision | {len(texts)} texts of 1 to over 77 tokens | {len(pictures)} pictures |",
        "| --- | --- | --- |",
    ]
    for precision, model in models.items():
        text = cosines(model.embed_texts(texts), expected_texts).min()
        picture = cosines(model.embed_images(pictures), expected_pictures).min()
        lines.append(f"| {precision} | {text:.8f} | {picture:.8f} |")
    return "\n".join(lines) + "\n"
