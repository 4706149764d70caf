"""What all measurements have in common: the model, where it lies, in which precisions, and how patient to be."""

from dataclasses import dataclass
from pathlib import Path

from app.config import Precision

# A smoke run: enough to see that a measurement runs, and no more.
QUICK_SECONDS = 0.4
QUICK_SHARE = 0.01


@dataclass(frozen=True)
class Tower:
    """A transformer whose layers have an attention of four and an MLP of eight matrices of `width` by `width`."""

    width: int
    layers: int

    @property
    def weights(self) -> int:
        """How many numbers a pass through the layers reads."""
        return 12 * self.layers * self.width**2

    def flop(self, tokens: int) -> int:
        """Floating-point operations of a pass: two per weight and token, and the products among the tokens."""
        return 2 * tokens * self.weights + 4 * self.layers * tokens**2 * self.width


@dataclass(frozen=True)
class Architecture:
    """As much of a model's architecture as its arithmetic depends on."""

    image: Tower
    text: Tower
    image_size: int
    patch_size: int
    dimensions: int

    def image_flop(self) -> int:
        """Floating-point operations of a picture: patches, layers over them and the class token, projection."""
        patches = (self.image_size // self.patch_size) ** 2
        embedding = 2 * patches * 3 * self.patch_size**2 * self.image.width
        return embedding + self.image.flop(patches + 1) + 2 * self.image.width * self.dimensions

    def text_flop(self, tokens: int) -> int:
        """Floating-point operations of a text that is computed at its own length."""
        return self.text.flop(tokens) + 2 * self.text.width * self.dimensions

    def text_weights(self) -> int:
        """How many numbers a single text has to read. Of the table of tokens it reads a few rows only."""
        return self.text.weights + self.text.width * self.dimensions


@dataclass(frozen=True)
class Conditions:
    """The model as both services are told it, and how long and how often to measure.

    `model` and `pretrained` are what OpenCLIP calls them; `cache` is where ours lies prepared, in every precision.
    """

    model: str
    pretrained: str
    architecture: Architecture
    cache: Path
    precisions: tuple[Precision, ...]
    quick: bool

    def seconds(self, usual: float) -> float:
        """How long to measure what usually takes this long."""
        return min(usual, QUICK_SECONDS) if self.quick else usual

    def rounds(self, usual: int) -> int:
        """How often to repeat what is usually repeated this often."""
        return 1 if self.quick else usual

    def count(self, usual: int) -> int:
        """How many of what there are usually this many of."""
        return max(1, round(usual * QUICK_SHARE)) if self.quick else usual
