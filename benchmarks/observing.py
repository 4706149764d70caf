"""What logs and metrics cost: the service as it is beside itself without either."""

import statistics
from collections.abc import Callable, Iterator

from benchmarks.conditions import Conditions
from benchmarks.load import closed, run
from benchmarks.report import Figure, Section, rows
from benchmarks.service import CACHE_ITEMS, Service, ours

CONNECTIONS = 32
# In turn, so that what else the machine does meets both.
TURNS = 14
TURN_S = 4.0
WARM_UP_S = 0.5
MOST = 0.03
UNOBSERVED = "benchmarks.unobserved"

# What is asked for, and how much of each kind of request it makes.
ASKED: dict[str, Callable[[Service], Iterator[bytes]]] = {
    "short queries, each another": lambda service: service.queries,
    "the same few queries, remembered": lambda service: service.repeated(),
}


def table(conditions: Conditions) -> Section:
    """The share of throughput that goes to a log line and its numbers."""
    precision = conditions.precisions[0]
    with (
        ours(conditions, precision, cache_items=CACHE_ITEMS, log_level="INFO") as observed,
        ours(conditions, precision, cache_items=CACHE_ITEMS, module=UNOBSERVED) as unobserved,
    ):
        costs = {name: _costs(observed, unobserved, asked, conditions) for name, asked in ASKED.items()}
    text = (
        "## Logs and metrics\n\n"
        f"The service with `LOG_LEVEL=INFO` beside one that writes no line and counts nothing, {CONNECTIONS} "
        f"connections, {conditions.rounds(TURNS)} turns of {TURN_S:g} s each; the cost is the median of what a turn "
        "had less than its neighbour.\n\n"
        + rows(
            ["what", "cost (median)", "middle half of the turns"],
            [
                [name, f"{statistics.median(each):.1%}", " to ".join(f"{cost:.1%}" for cost in _quartiles(each))]
                for name, each in costs.items()
            ],
        )
    )
    name = "logs and metrics, share of the throughput of short queries"
    asked_for = statistics.median(next(iter(costs.values())))
    return Section(text, [Figure.at_most(name, asked_for, MOST, form="{:.1%}")])


def _costs(
    observed: Service, unobserved: Service, asked: Callable[[Service], Iterator[bytes]], conditions: Conditions
) -> list[float]:
    requests = {service: asked(service) for service in (observed, unobserved)}

    def rate(service: Service) -> float:
        load = closed(
            service.port,
            requests[service],
            connections=CONNECTIONS,
            seconds=conditions.seconds(TURN_S),
            warm_up_s=conditions.seconds(WARM_UP_S),
        )
        return run(load).all_good().rate

    return [1 - rate(observed) / rate(unobserved) for _ in range(conditions.rounds(TURNS))]


def _quartiles(costs: list[float]) -> tuple[float, float]:
    if len(costs) < 2:
        return costs[0], costs[0]
    first, _, third = statistics.quantiles(costs, n=4)
    return first, third
