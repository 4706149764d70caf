"""Manners of painting: what a style makes of a finished picture."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from app.demo.painter.canvas import Field, noise, picture, step
from app.demo.painter.palette import LUMINANCE, RAMPS, Pixels, mix, tone
from app.demo.scene import Colour, Style

PAPER = np.array((250, 246, 236), np.float32)
INK = np.array((20, 16, 20), np.float32)


@dataclass(frozen=True)
class Work:
    """A finished picture, before it is given its manner."""

    image: Image.Image
    colour: Colour
    rng: np.random.Generator

    @property
    def width(self) -> int:
        """In pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.image.height

    @property
    def unit(self) -> int:
        """The shorter side: brushes and stones are measured by it."""
        return min(self.image.size)

    def blurred(self, share: float) -> Image.Image:
        """The picture out of focus by one part in `share` of its unit."""
        return self.image.filter(ImageFilter.GaussianBlur(self.unit / share))

    def soft(self, share: float) -> Pixels:
        """The picture out of focus, as numbers."""
        return np.asarray(self.blurred(share), np.float32)

    def lightness(self, share: float) -> Field:
        """How light it is out of focus, as numbers."""
        return np.asarray(self.image.convert("L").filter(ImageFilter.GaussianBlur(self.unit / share)), np.float32)

    def noise(self, across: int, down: int, octaves: int) -> Field:
        """Randomness over the picture."""
        return noise(self.rng, self.width, self.height, across, down, octaves)


Manner = Callable[[Work], Image.Image]


def oil(work: Work) -> Image.Image:
    """Short strokes of a loaded brush, along the edges of things."""
    pixels = np.asarray(work.image)
    width, height, unit = work.width, work.height, work.unit
    lightness = np.asarray(work.image.convert("L"), np.float32)
    soft = work.lightness(60)
    detailed = np.abs(lightness - soft) > 14
    down, across = np.gradient(soft)
    angles = np.arctan2(down, across) + math.pi / 2
    canvas = work.blurred(300)
    draw = ImageDraw.Draw(canvas)
    for length, thick, count in ((unit / 26, unit / 95, 1500), (unit / 42, unit / 170, 1700)):
        xs, ys = work.rng.integers(0, width, count), work.rng.integers(0, height, count)
        jitters, turns = work.rng.normal(1, 0.055, count), work.rng.normal(0, 0.3, count)
        for x, y, jitter, turn in zip(xs, ys, jitters, turns, strict=True):
            if detailed[y, x]:  # small things stay as they were drawn
                continue
            angle = angles[y, x] + turn
            dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
            r, g, b = (min(255, int(value * jitter)) for value in pixels[y, x])
            draw.line((x - dx, y - dy, x + dx, y + dy), fill=(r, g, b), width=max(1, round(thick)))
    return canvas


def watercolour(work: Work) -> Image.Image:
    """Thin washes on paper that stays bare at the edges, darker where a wash dried."""
    width, height, unit = work.width, work.height, work.unit
    flat = work.soft(190)
    pigment = work.noise(6, 6, 5)[..., None]
    wash = PAPER - (PAPER - flat) * (0.56 + 0.36 * pigment)
    rim = work.soft(50) @ LUMINANCE
    edge = np.clip(np.abs(flat @ LUMINANCE - rim) / 30, 0, 1)[..., None]
    wash -= (wash - np.array(tone(work.colour, 0.2), np.float32)) * edge * 0.28
    inside = np.minimum.outer(np.minimum(np.arange(height), np.arange(height)[::-1]), np.full(width, unit))
    inside = np.minimum(inside, np.minimum(np.arange(width), np.arange(width)[::-1])[None, :]) / unit
    ragged = step(inside.astype(np.float32) + 0.09 * (work.noise(7, 7, 4) - 0.5), 0.045, 0.075)[..., None]
    return picture(PAPER + (wash - PAPER) * ragged)


def pointillist(work: Work) -> Image.Image:
    """Dots of unmixed colour on a light ground."""
    width, height, unit = work.width, work.height, work.unit
    small = work.soft(150)
    ground = picture(small * 0.45 + PAPER * 0.55)
    draw = ImageDraw.Draw(ground)
    spacing = unit / 50
    row, column = np.mgrid[0 : height / spacing + 1, 0 : width / spacing + 1]
    x = (column + 0.5 * (row % 2) + work.rng.normal(0, 0.16, row.shape)).ravel() * spacing
    y = (row + work.rng.normal(0, 0.16, row.shape)).ravel() * spacing
    dots = small[np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)]
    grey = dots.mean(axis=1, keepdims=True)
    dots = np.clip((dots - grey) * 1.35 + grey + work.rng.normal(0, 13, dots.shape), 0, 255).astype(int)
    radii = spacing * work.rng.uniform(0.36, 0.5, len(x))
    boxes = np.stack((x - radii, y - radii, x + radii, y + radii), axis=1)
    for box, (r, g, b) in zip(boxes.tolist(), dots.tolist(), strict=True):
        draw.ellipse(box, fill=(r, g, b))
    return ground


def cubist(work: Work) -> Image.Image:
    """Facets that each show the picture from a little elsewhere, with an edge of shadow."""
    width, height, unit = work.width, work.height, work.unit
    size = unit / 6
    rows, columns = int(height / size) + 3, int(width / size) + 3
    grid = np.stack(np.meshgrid(np.arange(columns) - 0.5, np.arange(rows) - 0.5), axis=-1)
    sites = ((grid + work.rng.uniform(-0.42, 0.42, grid.shape)) * size).astype(np.float32).reshape(-1, 2)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    cell_x, cell_y = (x / size + 1).astype(np.int32), (y / size + 1).astype(np.int32)
    nearest: Field = np.full((height, width), np.inf, np.float32)
    second = nearest.copy()
    facet = np.zeros((height, width), np.int32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            site = np.clip(cell_y + dy, 0, rows - 1) * columns + np.clip(cell_x + dx, 0, columns - 1)
            distance = np.abs(sites[:, 0][site] - x) + np.abs(sites[:, 1][site] - y)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            facet = np.where(closer, site, facet)
            nearest = np.minimum(nearest, distance)
    count = rows * columns
    shift = work.rng.normal(0, size * 0.16, (2, count)).astype(np.float32)
    from_x = np.clip(x + shift[0][facet], 0, width - 1).astype(int)
    from_y = np.clip(y + shift[1][facet], 0, height - 1).astype(int)
    pixels = np.asarray(work.image, np.float32)
    tilt = work.rng.normal(0, 1, (2, count)).astype(np.float32)
    slope = (tilt[0][facet] * (x - sites[:, 0][facet]) + tilt[1][facet] * (y - sites[:, 1][facet])) / size
    shading = work.rng.uniform(0.84, 1.12, count).astype(np.float32)[facet] + 0.3 * slope
    edge = 1 - 0.5 * (1 - step((second - nearest) / unit, 0.002, 0.008))
    return picture((pixels[from_y, from_x] * (shading * edge)[..., None]).astype(np.float32))


def line_drawing(work: Work) -> Image.Image:
    """Coloured ink on paper: outlines, and hatching where it is dark."""
    width, height, unit = work.width, work.height, work.unit
    fine = work.soft(320)
    wide = work.soft(130)
    lines = step(np.abs(wide - fine).max(axis=2), 4, 12)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    spacing = unit / 46
    tilted = (x + y) % spacing < spacing * 0.3
    crossed = (x - y) % spacing < spacing * 0.3
    soft = work.lightness(90)
    hatching = 0.75 * np.maximum(tilted * (soft < 118), crossed * (soft < 66))
    ink = np.maximum(lines, hatching.astype(np.float32))[..., None]
    paper = PAPER * 0.84 + wide * 0.16
    pen = np.array(mix(RAMPS[work.colour][0], RAMPS[work.colour][1], 0.62), np.float32)
    return picture(paper + (pen - paper) * ink)


def woodcut(work: Work) -> Image.Image:
    """A few flat tones with black outlines, and the grain of the block."""
    smooth = work.blurred(120)
    pixels = np.asarray(smooth, np.float32)
    lightness = pixels @ LUMINANCE
    flat = np.floor(np.clip(lightness, 0, 254) / 51) * 51 + 26
    pixels = pixels * (flat / np.maximum(lightness, 8))[..., None]
    grain = work.noise(3, 60, 2)
    pixels = pixels * (0.93 + 0.14 * (grain[..., None] > 0.5))
    wide = work.soft(60)
    outline = step((wide - np.asarray(smooth, np.float32)).max(axis=2), 13, 22)[..., None]
    return picture((pixels * (1 - outline) + INK * outline).astype(np.float32))


def mosaic(work: Work) -> Image.Image:
    """Small square stones in pale mortar."""
    width, height = work.image.size
    tile = min(width, height) / 37
    rows, columns = math.ceil(height / tile), math.ceil(width / tile)
    stones: Pixels = np.asarray(work.image.resize((columns, rows), Image.Resampling.BOX), np.float32)
    stones = stones * work.rng.normal(1, 0.06, (rows, columns, 1)) + work.rng.normal(0, 3, (rows, columns, 3))
    y, x = np.arange(height) / tile, np.arange(width) / tile
    laid = stones[np.minimum(y.astype(int), rows - 1)][:, np.minimum(x.astype(int), columns - 1)]
    joint = np.maximum.outer((y % 1 < 0.17), (x % 1 < 0.17))[..., None]
    mortar = np.array(mix((222, 214, 202), tone(work.colour, 0.5), 0.12), np.float32)
    return picture(np.where(joint, mortar, laid).astype(np.float32))


def colour_field(work: Work) -> Image.Image:
    """Everything dissolved into soft-edged fields."""
    soft = work.soft(22)
    breath = work.noise(3, 3, 3)[..., None]
    return picture(soft * (0.86 + 0.26 * breath))


STYLES: Mapping[Style, Manner] = {
    "oil": oil,
    "watercolour": watercolour,
    "pointillist": pointillist,
    "cubist": cubist,
    "line drawing": line_drawing,
    "woodcut": woodcut,
    "mosaic": mosaic,
    "colour field": colour_field,
}
