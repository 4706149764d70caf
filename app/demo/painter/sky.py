"""The sky, what hangs in it, and the weather that falls out of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.demo.painter.canvas import Canvas, step
from app.demo.painter.palette import LIGHTS, RGB, Light, mix
from app.demo.scene import Scene, Season, Time, Weather

# What a weather draws the sky towards, and how far.
OVERCAST: Mapping[Weather, tuple[RGB, float]] = {
    "clear": ((255, 255, 255), 0.0),
    "cloudy": ((206, 212, 222), 0.35),
    "rain": ((112, 122, 138), 0.75),
    "storm": ((58, 60, 74), 0.82),
    "snow": ((140, 150, 172), 0.75),
    "fog": ((232, 232, 228), 0.8),
}
SUN: Mapping[Time, RGB] = {
    "dawn": (255, 250, 222),
    "day": (255, 246, 190),
    "dusk": (255, 216, 130),
    "night": (248, 246, 224),
}


@dataclass(frozen=True)
class Outdoors:
    """A view in the open: where its horizon is, what light falls on it, and where the sun or the moon stands."""

    scene: Scene
    canvas: Canvas
    time: Time
    weather: Weather
    light: Light
    horizon: float
    sun: tuple[float, float]

    @property
    def season(self) -> Season:
        """The season, which every land has."""
        assert self.scene.season
        return self.scene.season

    @property
    def grain(self) -> float:
        """How much larger small things must be for what the style paints with to show them."""
        return {"mosaic": 2.6, "pointillist": 2.2, "cubist": 1.3}.get(self.scene.style, 1)

    @property
    def dark(self) -> bool:
        """Whether lamps are lit."""
        return self.time in ("dusk", "night")

    @property
    def haze(self) -> RGB:
        """What distant things fade into."""
        return _sky_colours(self.time, self.weather)[2]

    def far(self, colour: RGB, distance: float) -> RGB:
        """A colour in this light, as far away as `distance` from 0 to 1."""
        return mix(self.light(colour), self.haze, distance)


def _sky_colours(time: Time, weather: Weather) -> tuple[RGB, RGB, RGB]:
    """The sky's colours at the top, in the middle and at the horizon."""
    light = LIGHTS[time]
    grey, share = OVERCAST[weather]
    cover = mix((0, 0, 0), grey, light.brightness)
    top, middle, low = (mix(colour, cover, share) for colour in light.sky)
    if weather == "storm":  # a band of light beneath the clouds
        low = mix(low, light.sky[2], 0.7)
    return top, middle, low


def paint_sky(canvas: Canvas, scene: Scene, horizon: float) -> Outdoors:
    """Paint the sky down to the horizon."""
    assert scene.time
    assert scene.weather
    light = LIGHTS[scene.time]
    top, middle, low = _sky_colours(scene.time, scene.weather)
    stops = (0.0, horizon * 0.55, horizon)
    column = np.stack(
        [np.interp(canvas.rows[:, 0], stops, [c[channel] for c in (top, middle, low)]) for channel in range(3)], axis=-1
    )
    canvas.pixels = np.repeat(column[:, None, :], canvas.width, axis=1).astype(np.float32)
    rng = canvas.rng
    sun = {
        "dawn": (rng.uniform(0.2, 0.34), horizon - rng.uniform(0.03, 0.07)),
        "day": (rng.uniform(0.2, 0.8), rng.uniform(0.12, 0.2)),
        "dusk": (rng.uniform(0.64, 0.8), horizon - rng.uniform(0.01, 0.05)),
        "night": (rng.uniform(0.25, 0.75), rng.uniform(0.13, 0.22)),
    }[scene.time]
    view = Outdoors(scene, canvas, scene.time, scene.weather, light, horizon, sun)
    if scene.time == "night" and scene.weather in ("clear", "cloudy"):
        _stars(view)
    if scene.time != "night":
        _sun(view)
    if scene.weather != "clear":
        _clouds(view)
    elif scene.time != "night":
        _wisps(view)
    if scene.time == "night":
        _moon(view)
    return view


def paint_weather(view: Outdoors) -> None:
    """Let the weather come down over the finished picture."""
    weather = view.weather
    if weather == "fog":
        _fog(view)
    if weather in ("rain", "storm"):
        _rain(view, heavy=weather == "storm")
    if weather == "storm":
        _lightning(view)
    if weather == "snow":
        _snow(view)


def _stars(view: Outdoors) -> None:
    rng, canvas = view.canvas.rng, view.canvas
    for _ in range(90):
        size = rng.uniform(0.0022, 0.0065)
        canvas.at(rng.random(), rng.random() * view.horizon * 0.95, size).ellipse(0, 0, 1, (250, 248, 228))


def _sun(view: Outdoors) -> None:
    canvas = view.canvas
    if view.time == "day" and view.weather not in ("clear", "cloudy"):
        return
    x, y = view.sun
    across = (canvas.columns - x) * canvas.width / canvas.unit
    down = (canvas.rows - y) * canvas.height / canvas.unit
    distance = np.sqrt(across**2 + down**2)
    veiled = 1.0 if view.weather in ("clear", "cloudy") else 0.7
    canvas.veil(np.exp(-((distance / 0.3) ** 2)) * 0.5 * veiled, SUN[view.time])
    radius = {"dawn": 0.1, "day": 0.065, "dusk": 0.1, "night": 0}[view.time]
    canvas.veil((1 - step(distance, radius * 0.94, radius)) * veiled, SUN[view.time])
    if view.time == "dawn" or (view.time == "day" and view.weather == "clear"):
        frame = canvas.at(x, y, 1)
        for ray in range(16):
            angle = ray * np.pi / 8
            reach = radius * (2.3 if ray % 2 else 1.9) + (0.08 if view.time == "dawn" else 0)
            colour = mix(view.haze, SUN[view.time], veiled)
            frame.line([(np.cos(angle) * r, np.sin(angle) * r) for r in (radius * 1.3, reach)], 0.011, colour)


def _moon(view: Outdoors) -> None:
    canvas = view.canvas
    x, y = view.sun
    across = (canvas.columns - x) * canvas.width / canvas.unit
    down = (canvas.rows - y) * canvas.height / canvas.unit
    distance = np.sqrt(across**2 + down**2)
    canvas.veil(np.exp(-((distance / 0.2) ** 2)) * 0.42, (170, 180, 220))
    bite = np.sqrt((across - 0.034) ** 2 + (down + 0.016) ** 2)
    disc = (1 - step(distance, 0.07, 0.074)) * step(bite, 0.058, 0.062)
    canvas.veil(disc, SUN["night"])


def _clouds(view: Outdoors) -> None:
    canvas = view.canvas
    fullness = {"cloudy": 0.45, "rain": 0.4, "storm": 0.4, "snow": 0.5, "fog": 0.56}[view.weather]
    body = canvas.noise(3, 5, 5)
    shade = canvas.noise(4, 7, 4)
    low = 1 - step(canvas.rows, view.horizon * 0.72, view.horizon)
    cover = step(body, fullness, fullness + 0.14) * low
    white = {"cloudy": 252, "rain": 150, "storm": 74, "snow": 238, "fog": 232}[view.weather]
    bright = mix((0, 0, 0), (white, white, white), max(view.light.brightness, 0.3))
    dusky = {"cloudy": 0.42, "rain": 0.4, "storm": 0.62, "snow": 0.15, "fog": 0.1}[view.weather]
    canvas.veil(cover * 0.92, mix(bright, view.light.sky[1], 0.25))
    canvas.veil(cover * step(shade, 0.35, 0.75) * 0.8, mix(bright, (20, 22, 34), dusky))


def _wisps(view: Outdoors) -> None:
    canvas = view.canvas
    cover = step(canvas.noise(2, 9, 4), 0.58, 0.8) * (1 - step(canvas.rows, view.horizon * 0.6, view.horizon * 0.95))
    canvas.veil(cover * 0.4, view.light.sky[2])


def _fog(view: Outdoors) -> None:
    canvas = view.canvas
    nearness = step(canvas.rows, view.horizon - 0.1, 1.25)
    thickness = 0.68 - 0.36 * nearness + 0.4 * (canvas.noise(1, 7, 2) - 0.5)
    canvas.veil(np.clip(thickness, 0, 0.84), mix((10, 12, 24), (236, 236, 232), max(0.4, view.light.brightness)))


def _rain(view: Outdoors, *, heavy: bool) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    colour = mix(view.light((226, 232, 242)), (255, 255, 255), 0.3)
    slant = 0.55 if heavy else 0.16
    for _ in range(round(170 / view.grain)):
        frame = canvas.at(rng.uniform(-0.1, 1.1), rng.uniform(-0.05, 1), 1)
        length = rng.uniform(0.07, 0.14) * view.grain**0.5
        frame.line(((0, 0), (-slant * length, length)), 0.006 * view.grain, colour)


def _lightning(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    x = view.sun[0] + (0.34 if view.sun[0] < 0.5 else -0.34)
    points = [(0.0, 0.0)]
    while points[-1][1] < view.horizon * canvas.height / canvas.unit:
        points.append((points[-1][0] + rng.normal(0, 0.035), points[-1][1] + rng.uniform(0.03, 0.075)))
    frame = canvas.at(x, 0, 1)
    frame.line(points, 0.026, mix(view.haze, (255, 255, 255), 0.45))
    frame.line(points, 0.012, (255, 255, 246))
    branch = points[len(points) // 2]
    fork = [branch]
    for _ in range(4):
        fork.append((fork[-1][0] + rng.uniform(0.01, 0.05), fork[-1][1] + rng.uniform(0.02, 0.05)))
    frame.line(fork, 0.009, (255, 255, 246))


def _snow(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    flake = mix(view.light((255, 255, 255)), (255, 255, 255), 0.75)
    for _ in range(round(190 / view.grain)):
        size = rng.uniform(0.005, 0.0125) * view.grain**0.7
        canvas.at(rng.random(), rng.random(), size).ellipse(0, 0, 1, flake)
