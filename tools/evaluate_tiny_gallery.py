"""How well a model finds painted scenes that it has never seen: the table in the bundled model's card.

    python -m tools.evaluate_tiny_gallery

Painted from seeds that training doesn't use, every caption different.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from app.config import DEMONSTRATION, Settings
from app.demo import captions
from app.demo.gallery import SIZE
from app.demo.scene import Scene, imagine
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Pixels, Vectors
from app.embeddings.preprocess import Preprocessing

from tools.paint_scenes import seen

FIRST_SEED = 1_000_000_000
SCENES = 500


@dataclass(frozen=True)
class Task:
    """Scenes, a caption for each, and what is seen of them."""

    scenes: Sequence[Scene]
    captions: Sequence[str]
    pixels: Pixels


def task(preprocess: Preprocessing, first_seed: int, count: int, size: int) -> Task:
    """Scenes of consecutive seeds; one whose caption another has already is left out."""
    by_caption: dict[str, Scene] = {}
    seed = first_seed
    while len(by_caption) < count:
        scene = imagine(seed)
        by_caption.setdefault(captions.caption(scene, np.random.default_rng([seed, 4])), scene)
        seed += 1
    scenes = list(by_caption.values())
    return Task(scenes, list(by_caption), seen([scene.seed for scene in scenes], size, preprocess))


def scores(task: Task, pictures: Vectors, embed_texts: Callable[[Sequence[str]], Vectors]) -> dict[str, float]:
    """Recall both ways, and how often each attribute is told from its alternatives by words alone."""
    similar = embed_texts(task.captions) @ pictures.T
    found = {
        f"{way}, recall@{k}": _recall(matrix, k)
        for way, matrix in (("text to picture", similar), ("picture to text", similar.T))
        for k in (1, 5)
    }
    for name, classes in captions.PROMPTS.items():
        asked = np.stack([_unit(embed_texts(prompts).mean(axis=0)) for prompts in classes.values()])
        true = [captions.attributes(scene)[name] for scene in task.scenes]
        guessed = np.array(list(classes))[(pictures @ asked.T).argmax(axis=1)]
        right = [guess == value for guess, value in zip(guessed, true, strict=True) if value]
        found[name] = float(np.mean(right))
    return found


def table(found: Mapping[str, float]) -> str:
    """Scores in Markdown."""
    rows = [f"| {name} | {score:.3f} |" for name, score in found.items()]
    return "\n".join(["| Task | Score |", "| --- | --- |", *rows])


def _recall(similar: Vectors, k: int) -> float:
    own = np.diagonal(similar)[:, None]
    return float(np.mean((similar > own).sum(axis=1) < k))


def _unit(vector: Vectors) -> Vectors:
    return vector / np.linalg.norm(vector)


def bundled() -> dict[str, float]:
    """The scores of the model that is bundled, in float32, on pictures as large as the gallery's."""
    settings = Settings.load(model_name=DEMONSTRATION, pretrained="bundled", precision="float32")
    model = EmbeddingModel(settings.model_name, settings.pretrained, settings=settings)
    unseen = task(model.preprocessing, FIRST_SEED, SCENES, SIZE)
    return scores(unseen, model.embed_pixels(list(unseen.pixels)), model.embed_texts)


if __name__ == "__main__":
    print(table(bundled()))
