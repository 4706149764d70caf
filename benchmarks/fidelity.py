"""How near our vectors are to those of `open_clip` in float32."""

import numpy as np
import open_clip
import torch
from app.embeddings.reference import cosines
from PIL import Image

from benchmarks.conditions import Conditions
from benchmarks.prepare import loaded, original
from benchmarks.report import Section, rows

WORDS = ["a", "stormy", "sea", "at", "night", "with", "two", "small", "boats", "and", "a", "lighthouse"]
SHAPES = [(224, 224), (1536, 1200), (640, 480), (333, 500), (64, 64), (17, 23), (1, 1), (1000, 100), (100, 1000)]


@torch.inference_mode()
def table(conditions: Conditions) -> Section:
    """The lowest cosine over texts of 1 to over 77 tokens, and over pictures of many shapes."""
    theirs, transform = original(conditions)
    tokenizer = open_clip.get_tokenizer(conditions.model)
    texts = [" ".join((WORDS * 8)[:count]) for count in range(1, 100)]
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (h, w, 3), np.uint8)) for w, h in SHAPES]
    expected_texts = theirs.encode_text(tokenizer(texts)).numpy()
    expected_pictures = theirs.encode_image(torch.stack([transform(picture) for picture in pictures])).numpy()

    lines = []
    for precision in conditions.precisions:
        model = loaded(conditions, precision)
        text = cosines(model.embed_texts(texts), expected_texts).min()
        picture = cosines(model.embed_images(pictures), expected_pictures).min()
        lines.append([precision, f"{text:.8f}", f"{picture:.8f}"])
    head = ["precision", f"{len(texts)} texts of 1 to over 77 tokens", f"{len(pictures)} pictures"]
    return Section("## Lowest cosine to open_clip in float32\n\n" + rows(head, lines))
