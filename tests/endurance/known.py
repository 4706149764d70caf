"""What is asked about, and the vectors that are right for it, computed once by the model itself."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from app.commands.expectations import LENGTH_TOLERANCE, SAME, equal
from app.commands.instance import Surprise
from app.config import DEMONSTRATION, Settings
from app.demo.artworks import collection
from app.demo.painter import paint
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.images.decode import look

PRECISION = "float32"
# What both the service and the one who judges it compute with, whatever this machine has and is set to.
COMPUTING = {"engine": "openvino", "device": "cpu", "precision": PRECISION, "decoding": "exact"}
TEXTS, PICTURES = 300, 120
FIRST_SEED = 1
PIXELS = 240
# Every so many-th picture is a PNG, the others are JPEGs.
PNG_EVERY = 4
# Things whose vectors agree more than this can't be told from one another here.
ALIKE = 0.999


@dataclass(frozen=True)
class Picture:
    """An image as a file, of which there are as many variants as one likes: all look alike, no two are the same."""

    data: bytes
    width: int
    height: int
    vector: Vectors

    def variant(self, number: int) -> bytes:
        """The image with something after its end, where no decoder looks."""
        return self.data + b"%d" % number

    def judge(self, answer: dict[str, Any], number: int) -> None:
        """Compare what an answer says of a variant with what is so.

        Raises:
            Surprise: they differ.
        """
        described = [answer["sha256"], answer["width"], answer["height"]]
        digest = hashlib.sha256(self.variant(number)).hexdigest()
        equal("sha256, width, height", described, [digest, self.width, self.height])
        judge_vector(answer["embedding"], self.vector)


@dataclass(frozen=True)
class Known:
    """Texts and pictures that all differ to the model, with their vectors, and the space that these are of."""

    texts: Sequence[str]
    vectors: Sequence[Vectors]
    pictures: Sequence[Picture]
    space: str

    @classmethod
    def of_bundled_model(cls, texts: int = TEXTS, pictures: int = PICTURES) -> "Known":
        """Captions and pictures of the demonstration's gallery, as the model that ships with it knows them."""
        model = EmbeddingModel(DEMONSTRATION, "bundled", settings=Settings.load(**COMPUTING), threads=1)
        works = collection(FIRST_SEED, max(texts, pictures))
        captions = [work.caption for _, work in works[:texts]]
        files = [_file(paint(scene, PIXELS), place) for place, (scene, _) in enumerate(works[:pictures])]
        seen = [look(file, PIXELS**2, model.preprocessing) for file in files]
        of_texts, of_pictures = model.embed_texts(captions), model.embed_pixels([pixels for _, pixels in seen])
        images = [
            Picture(file, picture.width, picture.height, vector)
            for file, (picture, _), vector in zip(files, seen, of_pictures, strict=True)
        ]
        apart_texts, apart_images = distinct(of_texts), distinct(of_pictures)
        return cls(
            [captions[place] for place in apart_texts],
            [of_texts[place] for place in apart_texts],
            [images[place] for place in apart_images],
            model.space,
        )


def distinct(vectors: Vectors) -> list[int]:
    """The places of vectors none of which is like an earlier one of them."""
    kept: list[int] = []
    for place, vector in enumerate(vectors):
        if not kept or float((vectors[kept] @ vector).max()) < ALIKE:
            kept.append(place)
    return kept


def judge_vector(numbers: Any, expected: Vectors) -> None:
    """Compare a vector of an answer with the one that is right.

    Raises:
        Surprise: it is another.
    """
    vector = np.asarray(numbers, np.float64)
    equal("the vector's shape", vector.shape, expected.shape)
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= LENGTH_TOLERANCE:
        raise Surprise(f"a vector of length {length:.6f}")
    cosine = float(vector @ expected)
    if not cosine >= SAME[PRECISION]:
        raise Surprise(f"a wrong vector: its cosine to the right one is {cosine:.6f}")


def _file(picture: Any, place: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG" if place % PNG_EVERY else "PNG", quality=90)
    return stream.getvalue()
