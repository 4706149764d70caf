"""What a second core is worth: pictures by URL, to a service on one core and to one on two."""

import os
import statistics
from contextlib import ExitStack

from app.config import Precision

from benchmarks.conditions import Conditions
from benchmarks.contests import PICTURES
from benchmarks.image_host import image_host
from benchmarks.report import Figure, Section, rows
from benchmarks.service import ours

ROUNDS = 3
REQUIRED = 1.8


def table(conditions: Conditions) -> Section:
    """Medians of rounds in turn. Only the service is confined; who asks, and the images' host, run where they like."""
    title = "## From one core to two\n\n"
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return Section(f"{title}There is only one core here.\n")
    lines, figures = [], []
    for precision in conditions.precisions:
        one, two = _measured(conditions, precision, [{cpus[0]}, {*cpus[:2]}])
        ratios = [more / less for less, more in zip(one, two, strict=True)]
        ratio = statistics.median(ratios)
        lines.append(
            [
                precision,
                *(f"{statistics.median(rates):.1f}/s" for rates in (one, two)),
                f"{ratio:.2f}",
                ", ".join(f"{each:.2f}" for each in ratios),
            ]
        )
        name = f"pictures, 1 → 2 cores, {precision}"
        figures.append(Figure.at_least(name, ratio, REQUIRED, form="{:.2f}"))
    text = (
        f"{title}Pictures by URL on {PICTURES.connections} connections. The service's processes are confined to one "
        "core or two; who asks, and the images' host, run on all.\n\n"
        + rows(["precision", "one core", "two cores", "times (median)", "rounds"], lines)
    )
    return Section(text, figures)


def _measured(conditions: Conditions, precision: Precision, cpus: list[set[int]]) -> list[list[float]]:
    """Pictures a second, for each set of cores: round by round."""
    with ExitStack() as running:
        host = running.enter_context(image_host())
        services = [running.enter_context(ours(conditions, precision, cpus=allowed)) for allowed in cpus]
        measured: list[list[float]] = [[] for _ in services]
        for _ in range(conditions.rounds(ROUNDS)):
            for service, rates in zip(services, measured, strict=True):
                rates.append(PICTURES.measured(service, host, conditions))
    return measured
