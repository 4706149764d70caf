"""Our service beside the straightforward one with its best number of workers, in turn, over HTTP."""

import statistics
from contextlib import ExitStack
from itertools import groupby

from app.config import Precision

from benchmarks.conditions import Conditions
from benchmarks.contests import CONTESTS, Contest, best, by_workers
from benchmarks.image_host import image_host
from benchmarks.report import Figure, Section, rows
from benchmarks.service import Service, baseline, ours

ROUNDS = 3


def table(conditions: Conditions) -> Section:
    """Medians of rounds in which each takes its turn; what isn't asked idles meanwhile."""
    lines, figures = [], []
    for contest, measured in _measured(conditions).items():
        theirs = statistics.median(measured[None])
        for precision in conditions.precisions:
            ratios = [mine / other for mine, other in zip(measured[precision], measured[None], strict=True)]
            ratio = statistics.median(ratios)
            lines.append(
                [
                    contest.name,
                    f"{contest.written(theirs)} ({_counted(best(conditions, contest))})",
                    precision,
                    contest.written(statistics.median(measured[precision])),
                    f"{ratio:.1f}",
                    ", ".join(f"{each:.1f}" for each in ratios),
                ]
            )
            figures.append(
                Figure.at_least(
                    f"{contest.name}, times better, {precision}",
                    ratio,
                    contest.required[precision],
                    contest.after[precision],
                    "{:.1f}",
                )
            )
    text = (
        "## Beside the straightforward service, over HTTP\n\n"
        "`benchmarks/baseline.py` on the same weights, which it computes with in float32, with the number of workers "
        "that is best for it; ours in one worker, its cache off. Each query and each picture is another. "
        f"{ROUNDS} rounds in turn.\n\n"
        + rows(["what", "straightforward", "ours in", "", "times better (median)", "rounds"], lines)
        + "\nThe straightforward service by workers:\n\n"
        + rows(
            ["workers", *(contest.name for contest in CONTESTS)],
            [
                [str(workers), *(contest.written(found[contest]) for contest in CONTESTS)]
                for workers, found in by_workers(conditions).items()
            ],
        )
    )
    return Section(text, figures)


def _measured(conditions: Conditions) -> dict[Contest, dict[Precision | None, list[float]]]:
    """How good each was, round by round; the straightforward service has no precision."""
    found = {}
    everyone = (None, *conditions.precisions)
    for workers, contests in groupby(CONTESTS, lambda contest: best(conditions, contest)):
        with ExitStack() as running:
            host = running.enter_context(image_host())
            services: dict[Precision | None, Service] = {None: running.enter_context(baseline(conditions, workers))}
            services |= {
                precision: running.enter_context(ours(conditions, precision)) for precision in conditions.precisions
            }
            for contest in contests:
                rounds = [
                    {precision: contest.measured(service, host, conditions) for precision, service in services.items()}
                    for _ in range(conditions.rounds(ROUNDS))
                ]
                found[contest] = {precision: [each[precision] for each in rounds] for precision in everyone}
    return found


def _counted(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"
