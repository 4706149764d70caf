"""A search box while the night job runs: short queries at a steady pace beside pictures at saturation."""

import asyncio

from app.config import Precision

from benchmarks.conditions import Conditions
from benchmarks.contests import PICTURES, SECONDS, WARM_UP_S, started
from benchmarks.image_host import image_host
from benchmarks.load import Outcome, closed, constant, run
from benchmarks.report import Figure, Section, rows
from benchmarks.service import Service

CONNECTIONS = 16
QUERIES_PER_S = 5.0
MIXED_S = 62.0
# What is asked for: of float32, by p99 over at least 300 queries.
JUDGED: Precision = "float32"
P99_MS, P99_AFTER_MS = 150.0, 100.0
SHARE = 0.85


def table(conditions: Conditions) -> Section:
    """The straightforward service, and ours in each precision."""
    lines, figures = [], []
    for precision in (None, *conditions.precisions):
        with image_host() as host, started(conditions, precision, PICTURES) as service:
            before = run(_pictures(service, host, conditions, SECONDS)).rate
            pictures, queries = run(_together(service, host, conditions))
            after = run(_pictures(service, host, conditions, SECONDS)).rate
        alone = (before + after) / 2
        p99, share = queries.percentile(0.99) * 1000, pictures.rate / alone
        lines.append(
            [
                service.name,
                f"{alone:.1f}/s",
                f"{pictures.rate:.1f}/s ({share:.0%})",
                f"{queries.percentile(0.5) * 1000:.0f} ms",
                f"{p99:.0f} ms",
                f"{queries.offered} ({queries.good:.0%})",
            ]
        )
        if precision == JUDGED:
            name = f"mixed: p99 of {queries.offered} short queries, {precision}"
            figures.append(Figure.at_most(name, p99, P99_MS, P99_AFTER_MS, "{:.0f} ms"))
            name = f"mixed: pictures, share of their own maximum, {precision}"
            figures.append(Figure.at_least(name, share, SHARE, form="{:.0%}"))
    text = (
        "## Queries while pictures are at saturation\n\n"
        f"Pictures by URL on {CONNECTIONS} connections, and {QUERIES_PER_S:g} short queries a second at a constant "
        f"rate for {MIXED_S:g} s. Pictures alone are the mean of before and after.\n\n"
        + rows(["service", "pictures alone", "beside queries", "queries, p50", "p99", "queries (answered)"], lines)
    )
    return Section(text, figures)


async def _pictures(service: Service, host: str, conditions: Conditions, seconds: float) -> Outcome:
    return await closed(
        service.port,
        service.pictures(host),
        connections=CONNECTIONS,
        seconds=conditions.seconds(seconds),
        warm_up_s=conditions.seconds(WARM_UP_S),
    )


async def _together(service: Service, host: str, conditions: Conditions) -> tuple[Outcome, Outcome]:
    async def queries() -> Outcome:
        await asyncio.sleep(conditions.seconds(WARM_UP_S))
        seconds = conditions.seconds(MIXED_S)
        return await constant(service.port, service.queries, rate=QUERIES_PER_S, seconds=seconds)

    return await asyncio.gather(_pictures(service, host, conditions, MIXED_S), queries())
