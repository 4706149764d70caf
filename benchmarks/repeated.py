"""The same few queries over and over, with the cache on: what HTTP alone costs."""

from benchmarks.conditions import Conditions
from benchmarks.contests import SECONDS, WARM_UP_S
from benchmarks.load import closed, run
from benchmarks.report import Figure, Section, rows
from benchmarks.service import CACHE_ITEMS, REPEATED, ours

CONNECTIONS = 32
REQUIRED = 1500.0


def table(conditions: Conditions) -> Section:
    """Answers a second of one worker, and how long they take."""
    with ours(conditions, conditions.precisions[0], cache_items=CACHE_ITEMS) as service:
        outcome = run(
            closed(
                service.port,
                service.repeated(),
                connections=CONNECTIONS,
                seconds=conditions.seconds(SECONDS),
                warm_up_s=conditions.seconds(WARM_UP_S),
            )
        ).all_good()
    text = (
        "## Repeated queries, cache on\n\n"
        f"{REPEATED} short queries over and over on {CONNECTIONS} connections, one worker.\n\n"
        + rows(
            ["throughput", "p50", "p99"],
            [[f"{outcome.rate:.0f}/s", *(f"{outcome.percentile(share) * 1000:.1f} ms" for share in (0.5, 0.99))]],
        )
    )
    figure = Figure.at_least("repeated queries, cache on, per worker", outcome.rate, REQUIRED, form="{:.0f}/s")
    return Section(text, [figure])
