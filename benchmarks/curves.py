"""Throughput and latency against load that comes at a constant rate, whatever is still unanswered."""

from contextlib import ExitStack

from benchmarks.conditions import Conditions
from benchmarks.contests import QUERIES, started
from benchmarks.load import constant, run
from benchmarks.plots import Curve, Point, latency, throughput
from benchmarks.report import Section, rows

SECONDS = 6.0
# Of what a service reaches on 32 connections.
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 2.0)


def table(conditions: Conditions) -> Section:
    """Short queries, the services in turn at each share of their capacity; as a table and as plots."""
    with ExitStack() as running:
        services = [
            running.enter_context(started(conditions, precision, QUERIES))
            for precision in (None, *conditions.precisions)
        ]
        capacities = [QUERIES.measured(service, "", conditions) for service in services]
        curves = [Curve(service.name, []) for service in services]
        for share in SHARES[: conditions.rounds(len(SHARES))]:
            for service, capacity, curve in zip(services, capacities, curves, strict=True):
                seconds = conditions.seconds(SECONDS)
                outcome = run(constant(service.port, service.queries, rate=share * capacity, seconds=seconds))
                p50, p99 = (outcome.percentile(part) * 1000 for part in (0.5, 0.99))
                curve.points.append(Point(outcome.offered / seconds, outcome.rate, p50, p99))
    lines = [
        [
            curve.name,
            f"{point.offered_per_s:.1f}/s",
            f"{point.answered_per_s:.1f}/s",
            f"{point.p50_ms:.0f} ms",
            f"{point.p99_ms:.0f} ms",
        ]
        for curve in curves
        for point in curve.points
    ]
    text = (
        "## Load and what becomes of it\n\n"
        f"Short queries at a constant rate for {SECONDS:g} s each. Times are from when a query was due, "
        "of those that were answered; throughput is what was answered within those seconds.\n\n"
        "![Throughput against load](plots/throughput.svg)\n\n![Latency against load](plots/latency.svg)\n\n"
        + rows(["service", "offered", "answered", "p50", "p99"], lines)
    )
    return Section(text, plots={"throughput.svg": throughput(curves), "latency.svg": latency(curves)})
