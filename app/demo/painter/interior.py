"""Rooms."""

import numpy as np

from app.demo.painter.canvas import Canvas, Frame
from app.demo.painter.palette import LIGHTS, RGB, mix, tone
from app.demo.painter.sky import SUN
from app.demo.scene import Scene, Time

DARK: RGB = (30, 22, 28)
LAMP: RGB = (255, 206, 104)
BRIGHTNESS: dict[Time, float] = {"dawn": 0.94, "day": 1.0, "dusk": 0.68, "night": 0.46}
FLOOR = 0.66


def interior(canvas: Canvas, scene: Scene) -> None:
    """A wall, a floor, a window through which one sees the time of day, and a piece of furniture."""
    assert scene.time
    rng = canvas.rng
    room = _Room(canvas, scene)
    wall = room.lit(tone(scene.colour, rng.uniform(0.52, 0.7)))
    canvas.whole.rectangle(0, 0, 1, FLOOR, wall)
    if rng.random() < 0.5:
        for stripe in np.arange(0.03, 1, 0.11):
            canvas.whole.rectangle(stripe, 0, stripe + 0.035, FLOOR, mix(wall, (255, 255, 255), 0.1))
    canvas.whole.rectangle(0, FLOOR - 0.025, 1, FLOOR, mix(wall, (255, 255, 255), 0.35))
    _floor(room, chequered=bool(rng.random() < 0.4))
    left = scene.place == "right" or (scene.place == "centre" and rng.random() < 0.5)
    window = (0.08, 0.12, 0.4, 0.5) if left else (0.6, 0.12, 0.92, 0.5)
    _window(room, *window)
    picture_x = 0.76 if left else 0.24
    if scene.subject not in ("bookshelf", "fireplace"):
        frame = canvas.at(picture_x, 0.26, 0.2)
        frame.rectangle(-0.55, -0.42, 0.55, 0.42, room.lit((176, 132, 62)))
        frame.rectangle(-0.44, -0.31, 0.44, 0.31, room.lit(tone(scene.accent, 0.6)))
        frame.polygon(
            ((-0.44, 0.31), (-0.1, -0.1), (0.15, 0.12), (0.3, -0.02), (0.44, 0.31)), room.lit(tone(scene.accent, 0.3))
        )
    if scene.time in ("dawn", "day", "dusk"):
        _beam(room, window)
    middle = 0.62 if left else 0.38
    place = canvas.at(middle, 0.86, 0.58)
    {
        "armchair": _armchair,
        "bed": _bed,
        "piano": _piano,
        "table": _table,
        "bookshelf": _bookshelf,
        "fireplace": _fireplace,
    }[scene.subject](room, place)
    if scene.time in ("dusk", "night"):
        _lamp(room, 0.1 if not left else 0.9)


class _Room:
    """What the furniture's painters need to know."""

    def __init__(self, canvas: Canvas, scene: Scene) -> None:
        assert scene.time
        self.canvas, self.scene, self.time = canvas, scene, scene.time
        self.cloth = tone(scene.accent, 0.5)

    def lit(self, colour: RGB) -> RGB:
        """A colour in this room's light."""
        return mix((22, 20, 34), colour, BRIGHTNESS[self.time])


def _floor(room: _Room, *, chequered: bool) -> None:
    canvas = room.canvas
    boards = room.lit((170, 120, 78))
    canvas.whole.rectangle(0, FLOOR, 1, 1, boards)
    if chequered:
        for row in range(4):
            top, bottom = (FLOOR + (1 - FLOOR) * (stage / 4) ** 1.4 for stage in (row, row + 1))
            for column in range(-6, 7):
                if (row + column) % 2:
                    continue
                edges = [
                    0.5 + (column + side) * (0.07 + 0.12 * depth)
                    for depth in ((row / 4) ** 1.4, ((row + 1) / 4) ** 1.4)
                    for side in (0, 1)
                ]
                canvas.whole.polygon(
                    ((edges[0], top), (edges[1], top), (edges[3], bottom), (edges[2], bottom)),
                    room.lit((238, 230, 214)),
                )
    else:
        for index in range(-8, 9):
            canvas.whole.line(((0.5 + index * 0.07, FLOOR), (0.5 + index * 0.17, 1)), 0.005, mix(boards, DARK, 0.35))


def _window(room: _Room, left: float, top: float, right: float, bottom: float) -> None:
    frame, sky = room.canvas.whole, LIGHTS[room.time].sky
    frame.rectangle(left - 0.018, top - 0.018, right + 0.018, bottom + 0.018, room.lit((240, 234, 222)))
    steps = 14
    for index in range(steps):
        share = index / (steps - 1)
        colour = mix(sky[0], sky[2], share)
        frame.rectangle(
            left, top + (bottom - top) * index / steps, right, top + (bottom - top) * (index + 1) / steps, colour
        )
    centre = room.canvas.at(
        (left + right) / 2 - 0.06,
        {"dawn": bottom - 0.08, "day": top + 0.1, "dusk": bottom - 0.09, "night": top + 0.11}[room.time],
        0.055,
    )
    if room.time == "night":
        for _ in range(12):
            x, y = room.canvas.rng.uniform(left, right), room.canvas.rng.uniform(top, bottom)
            frame.ellipse(x, y, 0.004, (250, 248, 228))
        centre.ellipse(0, 0, 1, SUN["night"])
        centre.ellipse(0.45, -0.2, 0.85, mix(sky[0], sky[1], 0.6))
    elif room.time == "day":
        for x, y in ((0.2, 0.9), (1.1, 0.7), (2.0, 1.5)):
            centre.ellipse(x, y, 0.8, (250, 252, 255), 0.42)
    else:
        centre.ellipse(0, 0, 1.25 if room.time == "dusk" else 0.95, SUN[room.time])
        frame.rectangle(
            left, bottom - 0.05, right, bottom, mix(sky[2], (60, 40, 60), 0.5 if room.time == "dusk" else 0.2)
        )
    bar = room.lit((240, 234, 222))
    frame.line((((left + right) / 2, top), ((left + right) / 2, bottom)), 0.013, bar)
    frame.line(((left, (top + bottom) / 2), (right, (top + bottom) / 2)), 0.013, bar)
    curtain = room.lit(room.cloth)
    for side, edge in ((1, left), (-1, right)):
        frame.polygon(
            (
                (edge - side * 0.045, top - 0.045),
                (edge + side * 0.055, top - 0.045),
                (edge + side * 0.012, bottom + 0.09),
                (edge - side * 0.05, bottom + 0.09),
            ),
            curtain,
        )
    frame.line(((left - 0.07, top - 0.045), (right + 0.07, top - 0.045)), 0.014, room.lit((120, 84, 50)))


def _beam(room: _Room, window: tuple[float, float, float, float]) -> None:
    left, _, right, _ = window
    shift = 0.14 if left < 0.3 else -0.14
    canvas = room.canvas
    plain = canvas.pixels.copy()
    colour = {"dawn": (255, 232, 214), "day": (255, 250, 226), "dusk": (255, 140, 60)}[room.time]
    canvas.whole.polygon(
        ((left + shift, 0.74), (right + shift, 0.74), (right + 2 * shift, 0.97), (left + 2 * shift, 0.97)), colour
    )
    canvas.pixels = plain * 0.45 + canvas.pixels * 0.55


def _lamp(room: _Room, x: float) -> None:
    canvas = room.canvas
    across = (canvas.columns - x) * canvas.width / canvas.unit
    down = (canvas.rows - 0.42) * canvas.height / canvas.unit
    canvas.veil(np.exp(-((across**2 + down**2) / 0.07)) * 0.6, LAMP)
    lamp = canvas.at(x, 0.86, 0.5)
    lamp.line(((0, 0), (0, -0.85)), 0.03, (70, 52, 40))
    lamp.ellipse(0, 0, 0.13, (70, 52, 40), 0.03)
    lamp.polygon(((-0.19, -0.76), (0.19, -0.76), (0.1, -1.04), (-0.1, -1.04)), (255, 226, 150))


def _cat(room: _Room, frame: Frame) -> None:
    fur = room.lit(((40, 36, 40), (222, 140, 64), (236, 232, 226))[int(room.canvas.rng.integers(3))])
    frame.ellipse(0, -0.32, 0.42, fur, 0.32)
    frame.ellipse(-0.32, -0.66, 0.24, fur)
    for x in (-0.46, -0.2):
        frame.polygon(((x - 0.1, -0.78), (x + 0.1, -0.8), (x, -1.05)), fur)
    frame.line(((0.36, -0.2), (0.62, -0.3), (0.7, -0.62)), 0.1, fur)
    for x in (-0.41, -0.23):
        frame.ellipse(x, -0.68, 0.045, (190, 220, 90))


def _armchair(room: _Room, frame: Frame) -> None:
    cloth = room.lit(room.cloth)
    shade = mix(cloth, DARK, 0.3)
    for x in (-0.42, 0.38):
        frame.rectangle(x, -0.06, x + 0.06, 0.06, room.lit((84, 56, 38)))
    frame.polygon(((-0.36, -0.2), (0.36, -0.2), (0.4, -0.86), (0.26, -0.98), (-0.26, -0.98), (-0.4, -0.86)), cloth)
    frame.rectangle(-0.4, -0.4, 0.4, -0.04, shade)
    frame.rectangle(-0.34, -0.46, 0.34, -0.26, mix(cloth, (255, 255, 255), 0.2))
    for x in (-0.54, 0.36):
        frame.rectangle(x, -0.56, x + 0.18, -0.02, cloth)
        frame.ellipse(x + 0.09, -0.56, 0.09, mix(cloth, (255, 255, 255), 0.15))
    if room.scene.detail == "cat":
        _cat(room, Frame(frame.draw, frame.x, frame.y - 0.4 * frame.down, frame.across * 0.42, frame.down * 0.42))


def _bed(room: _Room, frame: Frame) -> None:
    wood = room.lit((128, 82, 50))
    frame.rectangle(-0.72, -0.86, -0.64, 0.06, wood)
    frame.rectangle(0.66, -0.5, 0.74, 0.06, wood)
    frame.rectangle(-0.66, -0.3, 0.68, -0.08, wood)
    frame.rectangle(-0.64, -0.46, 0.66, -0.26, room.lit((246, 242, 234)))
    frame.polygon(((-0.24, -0.52), (0.66, -0.5), (0.66, -0.14), (-0.3, -0.14)), room.lit(room.cloth))
    frame.ellipse(-0.46, -0.54, 0.17, room.lit((252, 250, 244)), 0.09)
    if room.scene.detail == "cat":
        _cat(
            room,
            Frame(
                frame.draw,
                frame.x + 0.2 * frame.across,
                frame.y - 0.48 * frame.down,
                frame.across * 0.36,
                frame.down * 0.36,
            ),
        )


def _piano(room: _Room, frame: Frame) -> None:
    black = room.lit((36, 30, 32))
    frame.rectangle(-0.62, -0.84, 0.62, 0.02, black)
    frame.rectangle(-0.66, -0.88, 0.66, -0.82, mix(black, (255, 255, 255), 0.25))
    frame.rectangle(-0.68, -0.44, 0.68, -0.34, room.lit((250, 248, 240)))
    for key in range(13):
        if key % 7 not in (2, 6):
            frame.rectangle(-0.62 + key * 0.1, -0.44, -0.58 + key * 0.1, -0.385, DARK)
    frame.polygon(((-0.18, -0.5), (0.18, -0.5), (0.16, -0.74), (-0.16, -0.74)), room.lit((248, 244, 230)))
    frame.ellipse(0, 0.04, 0.22, room.lit(room.cloth), 0.05)
    frame.rectangle(-0.04, 0.04, 0.04, 0.2, room.lit((84, 56, 38)))


def _table(room: _Room, frame: Frame) -> None:
    wood = room.lit((150, 98, 58))
    for x in (-0.78, 0.62):
        frame.rectangle(x, -0.72, x + 0.05, 0.05, mix(wood, DARK, 0.3))
        frame.rectangle(x, -0.3, x + 0.2, -0.25, mix(wood, DARK, 0.2))
        frame.rectangle(x + 0.15, -0.25, x + 0.19, 0.05, mix(wood, DARK, 0.3))
    frame.rectangle(-0.42, -0.42, -0.36, 0.06, mix(wood, DARK, 0.2))
    frame.rectangle(0.36, -0.42, 0.42, 0.06, mix(wood, DARK, 0.2))
    frame.polygon(((-0.5, -0.5), (0.5, -0.5), (0.54, -0.4), (-0.54, -0.4)), wood)
    frame.polygon(((-0.3, -0.5), (0.3, -0.5), (0.36, -0.26), (0, -0.2), (-0.36, -0.26)), room.lit(room.cloth))
    frame.ellipse(0, -0.54, 0.17, room.lit((240, 236, 226)), 0.06)
    for x in (-0.07, 0.07, 0.0):
        frame.ellipse(x, -0.6, 0.06, room.lit((230, 130, 40)))
    if room.scene.detail == "cat":
        _cat(
            room,
            Frame(
                frame.draw,
                frame.x - 0.1 * frame.across,
                frame.y + 0.1 * frame.down,
                frame.across * 0.36,
                frame.down * 0.36,
            ),
        )


def _bookshelf(room: _Room, frame: Frame) -> None:
    rng = room.canvas.rng
    wood = room.lit((116, 76, 48))
    frame.rectangle(-0.46, -1.2, 0.46, 0.02, wood)
    covers: tuple[RGB, ...] = (
        (150, 46, 44),
        (44, 76, 116),
        (204, 160, 70),
        (56, 100, 70),
        (120, 70, 120),
        (230, 220, 200),
    )
    for shelf in range(4):
        bottom = -0.06 - shelf * 0.285
        frame.rectangle(-0.41, bottom - 0.24, 0.41, bottom, mix(wood, DARK, 0.55))
        x = -0.4
        while x < 0.34:
            wide = rng.uniform(0.04, 0.075)
            frame.rectangle(
                x,
                bottom - rng.uniform(0.15, 0.22),
                x + wide - 0.008,
                bottom,
                room.lit(covers[int(rng.integers(len(covers)))]),
            )
            x += wide


def _fireplace(room: _Room, frame: Frame) -> None:
    stone = room.lit((206, 196, 182))
    frame.rectangle(-0.56, -0.8, 0.56, 0.02, stone)
    frame.rectangle(-0.64, -0.88, 0.64, -0.78, mix(stone, (255, 255, 255), 0.3))
    frame.rectangle(-0.36, -0.58, 0.36, 0.0, DARK)
    for reach, colour in ((0.46, (226, 70, 24)), (0.34, (255, 150, 36)), (0.2, (255, 232, 130))):
        frame.polygon(
            (
                (-reach * 0.6, 0),
                (-reach * 0.7, -reach * 0.5),
                (-reach * 0.3, -reach * 0.4),
                (0, -reach * 1.15),
                (reach * 0.3, -reach * 0.5),
                (reach * 0.66, -reach * 0.7),
                (reach * 0.6, 0),
            ),
            colour,
        )
    frame.line(((-0.26, -0.02), (0.26, -0.06)), 0.06, (90, 58, 40))
    for x in (-0.44, 0.44):
        frame.rectangle(x - 0.03, -1.06, x + 0.03, -0.88, room.lit((240, 232, 210)))
