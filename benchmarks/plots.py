"""Curves as pictures that are the same bytes for the same numbers."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# A ground of their own, so that they read alike on light and on dark pages; colours that the colour-blind tell apart.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "tate-embeddings",
    "svg.fonttype": "none",
    "font.size": 11,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 2,
    "legend.frameon": False,
}
LOOKS = (("#d55e00", "s"), ("#0072b2", "o"), ("#009e73", "^"))
SIZE_INCHES = (8, 4.8)


class Point(NamedTuple):
    """Queries a second that were asked, and that were answered, and how long they took."""

    offered_per_s: float
    answered_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Curve:
    """What became of more and more load on a service."""

    name: str
    points: list[Point]


def throughput(curves: Sequence[Curve]) -> str:
    """Answered against offered, as SVG."""
    figure, axes = _axes("Short queries answered against queries offered", "answered in time (queries/s)")
    offered = [point.offered_per_s for curve in curves for point in curve.points]
    axes.plot([min(offered), max(offered)], [min(offered), max(offered)], color="#888888", ls=":", label="all of them")
    for curve, (colour, marker) in zip(curves, LOOKS, strict=False):
        points = curve.points
        _plot(axes, points, [point.answered_per_s for point in points], color=colour, marker=marker, label=curve.name)
    return _svg(figure, axes)


def latency(curves: Sequence[Curve]) -> str:
    """Median and 99th percentile against offered, as SVG."""
    figure, axes = _axes("Time to answer a short query against queries offered", "time from when it was due (ms)")
    for curve, (colour, marker) in zip(curves, LOOKS, strict=False):
        points = curve.points
        name = curve.name
        _plot(axes, points, [point.p50_ms for point in points], color=colour, marker=marker, label=f"{name}: p50")
        _plot(
            axes, points, [point.p99_ms for point in points], color=colour, marker=marker, ls="--", label=f"{name}: p99"
        )
    return _svg(figure, axes)


def _axes(title: str, y_label: str) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        axes.set(title=title, xlabel="offered (queries/s)", ylabel=y_label, xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    return figure, axes


def _plot(axes: Axes, points: Sequence[Point], values: Sequence[float], **look: Any) -> None:
    """Draw what there is: a service that answers nothing has no latency, and logarithms know no zero."""
    drawn = [value if 0 < value < math.inf else math.nan for value in values]
    axes.plot([point.offered_per_s for point in points], drawn, **look)


def _svg(figure: Figure, axes: Axes) -> str:
    with mpl.rc_context(STYLE):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
