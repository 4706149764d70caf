"""What both services are compared in, and with how many workers the straightforward one is best at it."""

import functools
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from app.config import Precision

from benchmarks.conditions import Conditions
from benchmarks.image_host import image_host
from benchmarks.load import closed, run
from benchmarks.service import Service, baseline, ours

SECONDS = 8.0
WARM_UP_S = 1.5
WORKERS = (1, 2, 4)


@dataclass(frozen=True, eq=False)
class Contest:
    """Something that both services are asked for, by some connections at a time.

    How good a service is at it is its answers in a second, or, of one connection, those that fit into a second at the
    median. `required` and `after` are how many times better ours is to be.
    """

    name: str
    connections: int
    pictures: bool
    required: Mapping[Precision, float]
    after: Mapping[Precision, float]

    def written(self, goodness: float) -> str:
        """As a person wants to read it."""
        return f"{1000 / goodness:.1f} ms" if self.connections == 1 else f"{goodness:.1f}/s"

    def measured(self, service: Service, host: str, conditions: Conditions) -> float:
        """How good a service is at it now."""
        outcome = run(
            closed(
                service.port,
                service.pictures(host) if self.pictures else service.queries,
                connections=self.connections,
                seconds=conditions.seconds(SECONDS),
                warm_up_s=conditions.seconds(WARM_UP_S),
            )
        ).all_good()
        return 1 / outcome.percentile(0.5) if self.connections == 1 else outcome.rate


QUERIES = Contest(
    "short queries, 32 connections, throughput",
    connections=32,
    pictures=False,
    required={"float32": 14, "bfloat16": 24},
    after={"float32": 18, "bfloat16": 32},
)
SINGLE = Contest(
    "one short query at a time, p50",
    connections=1,
    pictures=False,
    required={"float32": 8, "bfloat16": 10},
    after={"float32": 10, "bfloat16": 13},
)
PICTURES = Contest(
    "JPEG of 1536 x 1200 by URL, 8 connections, throughput",
    connections=8,
    pictures=True,
    required={"float32": 2.0, "bfloat16": 3.3},
    after={"float32": 2.3, "bfloat16": 4.0},
)
CONTESTS = (QUERIES, SINGLE, PICTURES)


@functools.cache
def by_workers(conditions: Conditions) -> Mapping[int, Mapping[Contest, float]]:
    """How good the straightforward service is at each contest, by the number of its workers."""
    found = {}
    with image_host() as host:
        for workers in WORKERS[: conditions.rounds(len(WORKERS))]:
            with baseline(conditions, workers) as service:
                found[workers] = {contest: contest.measured(service, host, conditions) for contest in CONTESTS}
    return found


def best(conditions: Conditions, contest: Contest) -> int:
    """With how many workers the straightforward service is best at a contest."""
    found = by_workers(conditions)
    return max(found, key=lambda workers: found[workers][contest])


def started(conditions: Conditions, precision: Precision | None, contest: Contest) -> AbstractContextManager[Service]:
    """Our service in a precision, or, for none, the straightforward one as it is best at a contest."""
    return ours(conditions, precision) if precision else baseline(conditions, best(conditions, contest))
