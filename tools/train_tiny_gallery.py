"""Trains the bundled model: pictures painted and captioned by `app.demo`, `open_clip`'s model and loss.

    python -m tools.train_tiny_gallery FOLDER

Everything follows from SEED: pictures, captions, batches and, on one kind of machine, weights. What is done lies in
FOLDER, with the loss curve and scores in `log.jsonl`; a run that was stopped goes on from its last checkpoint.
`python -m tools.bundle_tiny_gallery FOLDER` then puts the result into the package.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from app.demo.captions import PROMPTS, attributes, caption, query
from app.demo.scene import OUTDOORS, Scene, imagine
from app.embeddings.engines import Pixels, Vectors
from app.embeddings.preprocess import Preprocessing
from app.embeddings.towers import ImageTower, TextTower
from numpy.typing import NDArray

from tools.evaluate_tiny_gallery import FIRST_SEED, Task, scores, task
from tools.paint_scenes import chunks

SEED = 0
# Most pictures are painted small, which is quick; some as large as a gallery's, which looks a little different.
SMALL, LARGE = 144, 360
WARM_UP = 200
LEARNING_RATE = 1.5e-3
POLISHING_RATE = 6e-4
WEIGHT_DECAY = 0.1
# How many captions are full ones; the rest are queries.
FULL = 0.55
# How many captions get words that the model has no idea of.
STRANGE = 0.15
MOST_STRANGE = 3
# So many scenes' captions have every word that there is.
VOCABULARY_FROM = 6000
LOG_EVERY = 50
ATTRIBUTES_WEIGHT = 0.5
# Pictures are shifted by up to so many pixels, so that nothing depends on exact places.
SHIFT = 3

IMAGE_SIZE = 96
CONFIGURATION: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 512,
        "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 12, "head_width": 64},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
    },
    "preprocess_cfg": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


@dataclass(frozen=True)
class Plan:
    """How much is done, in three stages; judged by scenes that aren't among those that are learned from.

    First only captions are learned. Then pictures are also told apart by one attribute at a time: small things such as
    the weather are learned late from whole captions, in which there is so much else to go by. Last, at a lower rate,
    by their subjects too, and half of them are large.
    """

    captions_until: int = 1250
    attributes_until: int = 3300
    steps: int = 4200
    scenes: int = 56_000
    large: int = 10_000
    batch: int = 256
    judges: int = 500
    checkpoint_every: int = 250

    def told_apart(self, step: int) -> list[str]:
        """The attributes by which pictures are told apart at a step."""
        if step < self.captions_until:
            return []
        return [name for name in PROMPTS if name != "subject" or step >= self.attributes_until]

    def rate(self, step: int) -> float:
        """The learning rate at a step: rising while it warms up, falling along a cosine, and once more to polish."""
        if step < self.attributes_until:
            return LEARNING_RATE * min(1, (step + 1) / WARM_UP) * _falling(step / self.attributes_until)
        return POLISHING_RATE * _falling((step - self.attributes_until) / (self.steps - self.attributes_until))


class Run:
    """A training run: a model, what it has learned so far, and what it needs to go on."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.step, self.seconds = 0, 0.0
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        description = folder / "model"
        description.mkdir(parents=True, exist_ok=True)
        (description / "open_clip_config.json").write_text(json.dumps(CONFIGURATION, indent=2) + "\n")
        torch.manual_seed(SEED)
        name = f"local-dir:{description}"
        self.model = open_clip.create_model(name, load_weights=False, device=self.device)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.preprocessing = Preprocessing(
            IMAGE_SIZE, IMAGE_SIZE, fill_color=0, **_tuples(CONFIGURATION["preprocess_cfg"])
        )
        self.text = TextTower(self.model, True)
        self.image = ImageTower(self.model, self.preprocessing, torch.float32).to(self.device)
        self.strange = self._leave_out_what_is_never_said()
        vocabulary = self.model.token_embedding.weight
        decayed = [p for p in self.model.parameters() if p.ndim > 1 and p is not vocabulary]
        others = [p for p in self.model.parameters() if p.ndim <= 1 or p is vocabulary]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
            lr=LEARNING_RATE,
            betas=(0.9, 0.98),
            fused=True,
        )
        self._resume()

    def learn(self, pixels: Pixels, scenes: Sequence[Scene], rng: np.random.Generator) -> float:
        """Take one step with some scenes and what is seen of them; the loss over their captions is returned."""
        captions = [(caption if rng.random() < FULL else query)(scene, rng) for scene in scenes]
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.step)
        ids = _with_strange_words(self._tokens(captions), self.strange, rng)
        with torch.autocast(self.device, torch.bfloat16):
            seen = self.image(_varied(pixels, rng).to(self.device))
        said = self.text(ids.to(self.device))
        shown = _unit(seen.float())
        loss = open_clip.ClipLoss()(shown, _unit(said), self.model.logit_scale.exp())
        total: Any = loss
        if names := self.plan.told_apart(self.step):
            total = loss + ATTRIBUTES_WEIGHT * self._attributes_loss(names, shown, scenes, rng)
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        self.step += 1
        value: float = loss.item()
        return value

    def _attributes_loss(
        self, names: Sequence[str], shown: torch.Tensor, scenes: Sequence[Scene], rng: np.random.Generator
    ) -> torch.Tensor:
        """The same contrast between pictures and words, with the words for all classes of one attribute at a time."""
        ways = [(name, str(rng.choice(prompts))) for name in names for prompts in PROMPTS[name].values()]
        asked = _unit(self.text(self._tokens([prompt for _, prompt in ways]).to(self.device)))
        total = torch.zeros((), device=self.device)
        for name in names:
            order = list(PROMPTS[name])
            true = [(row, order.index(value)) for row, scene in enumerate(scenes) if (value := attributes(scene)[name])]
            rows, targets = torch.tensor(true, device=self.device).T
            these = asked[[index for index, (attribute, _) in enumerate(ways) if attribute == name]]
            logits = self.model.logit_scale.exp() * shown[rows] @ these.T
            total = total + torch.nn.functional.cross_entropy(logits, targets)
        return total

    @torch.inference_mode()
    def judge(self, unseen: Task) -> dict[str, float]:
        """How well the model does what it is for."""
        self.model.eval()
        parts = [torch.from_numpy(part).to(self.device) for part in np.array_split(unseen.pixels, 8)]
        shown = torch.cat([self.image(part) for part in parts])
        return scores(unseen, _vectors(shown), lambda asked: _vectors(self.text(self._tokens(asked).to(self.device))))

    def keep(self) -> None:
        """Write a checkpoint, whole or not at all."""
        unfinished = self._checkpoint.with_suffix(".new")
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state | {"step": self.step, "seconds": self.seconds}, unfinished)
        unfinished.replace(self._checkpoint)

    def log(self, **values: float) -> None:
        """Add a line to the log."""
        figures = {name: round(value, 4) for name, value in values.items()}
        line = json.dumps({"step": self.step, "seconds": round(self.seconds), **figures})
        print(line, flush=True)
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(line + "\n")

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        if self._checkpoint.exists():
            kept = torch.load(self._checkpoint, weights_only=True, map_location=self.device)
            self.model.load_state_dict(kept["model"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.step, self.seconds = kept["step"], kept["seconds"]

    def _leave_out_what_is_never_said(self) -> NDArray[np.int64]:
        """Let tokens that no caption has weigh nothing, now and later, so that unknown words say nothing."""
        known = torch.zeros(self.tokenizer.vocab_size, dtype=torch.bool, device=self.device)
        for seed in range(VOCABULARY_FROM):
            rng = np.random.default_rng([SEED, 2, seed])
            scene = imagine(seed)
            known[self._tokens([caption(scene, rng), query(scene, rng)])] = True
        vocabulary = self.model.token_embedding.weight
        with torch.no_grad():
            vocabulary[~known] = 0
        vocabulary.register_hook(lambda gradient: gradient * known[:, None])
        ids: NDArray[np.int64] = (~known).nonzero()[:, 0].cpu().numpy()
        return ids

    def _tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Ids, as many as the longest text has."""
        ids: torch.Tensor = self.tokenizer(list(texts))
        return ids[:, : int((ids != 0).sum(dim=1).max())]


def train(folder: Path, plan: Plan, until: int | None = None) -> None:
    """Train until the plan, or as many steps as `until`, are done, from wherever an earlier call stopped."""
    run = Run(folder, plan)
    pixels = np.concatenate(
        [
            np.load(file)
            for count, size in ((plan.scenes, SMALL), (plan.large, LARGE))
            for file in chunks(folder / "scenes", count, size, run.preprocessing)
        ]
    )
    unseen = task(run.preprocessing, FIRST_SEED - 10_000, plan.judges, LARGE)
    outdoors = [seed for seed in range(plan.scenes) if imagine(seed).kind in OUTDOORS]
    began, losses = time.monotonic() - run.seconds, []
    while run.step < min(plan.steps, until or plan.steps):
        rng = np.random.default_rng([SEED, run.step])
        rows = _batch(run.step, outdoors, plan, rng)
        losses.append(run.learn(pixels[rows], [imagine(int(row) % plan.scenes) for row in rows], rng))
        run.seconds = time.monotonic() - began
        if run.step % LOG_EVERY == 0:
            run.log(loss=float(np.mean(losses[-LOG_EVERY:])), scale=run.model.logit_scale.exp().item())
        if run.step % plan.checkpoint_every == 0 or run.step == plan.steps:
            run.keep()
            run.log(**run.judge(unseen))


def _tuples(recorded: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()}


def _batch(step: int, outdoors: Sequence[int], plan: Plan, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which pictures a step has: half of them of any scenes.

    The other half are views in the open, of which there is most to be told; in the last stage large pictures, which
    lie behind the small ones and are of the same seeds.
    """
    half = plan.batch // 2
    some = rng.choice(plan.scenes, half, replace=False)
    if step < plan.attributes_until:
        others = rng.choice(np.setdiff1d(outdoors, some), plan.batch - half, replace=False)
    else:
        others = plan.scenes + rng.choice(plan.large, plan.batch - half, replace=False)
    return np.concatenate((some, others))


def _falling(share: float) -> float:
    """From 1 to 0 along a cosine."""
    return (1 + math.cos(math.pi * share)) / 2


def _with_strange_words(ids: torch.Tensor, strange: NDArray[np.int64], rng: np.random.Generator) -> torch.Tensor:
    """Put words that the model has no idea of into some texts."""
    longer = torch.nn.functional.pad(ids, (0, MOST_STRANGE))
    for row in np.flatnonzero(rng.random(len(ids)) < STRANGE):
        for _ in range(int(rng.integers(1, MOST_STRANGE + 1))):
            place = int(rng.integers(1, int(longer[row].argmax()) + 1))  # behind the start, before or at the end
            longer[row, place + 1 :] = longer[row, place:-1].clone()
            longer[row, place] = int(rng.choice(strange))
    return longer


def _varied(pixels: Pixels, rng: np.random.Generator) -> torch.Tensor:
    """Pictures a little shifted, lighter or darker."""
    x, y = rng.integers(0, 2 * SHIFT + 1, 2)
    padded = np.pad(pixels, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    shifted = torch.from_numpy(padded[:, y : y + IMAGE_SIZE, x : x + IMAGE_SIZE].copy()).float()
    gain = torch.from_numpy(rng.normal(1, 0.04, (len(pixels), 1, 1, 1))).float()
    return (shifted * gain).clamp(0, 255)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = torch.nn.functional.normalize(vectors, dim=-1)
    return result


def _vectors(vectors: torch.Tensor) -> Vectors:
    result: Vectors = _unit(vectors).float().cpu().numpy()
    return result


if __name__ == "__main__":
    train(Path(sys.argv[1]), Plan())
