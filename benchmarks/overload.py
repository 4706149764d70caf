"""Ten times what a service is capable of, for a minute, and how it is afterwards."""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

from benchmarks.conditions import Conditions
from benchmarks.contests import QUERIES, started
from benchmarks.load import OK, Outcome, closed, connect, constant, run
from benchmarks.report import Figure, Section, rows
from benchmarks.service import MIB, Service

TIMES = 10
OVERLOAD_S = 60.0
REFUSED = 503
P99_S = 2.0
NORMAL_WITHIN_S = 2.0
# Afterwards one query at a time: normal is when as many in a row as here take no longer than the slowest of a run of
# undisturbed ones, or this much longer, which is the noise of a timer.
IN_A_ROW = 5
UNDISTURBED = 50
NOISE = 1.5
# After which it is given up.
RECOVERY_S = 30.0
LOOK_EVERY_S = 0.25
ASK_EVERY_S = 0.05


@dataclass(frozen=True)
class _Overload:
    """What became of a service; memory in bytes, before and at its peak; seconds until it was normal again."""

    capacity: float
    outcome: Outcome
    before: int
    peak: int
    normal_after_s: float


def table(conditions: Conditions) -> Section:
    """The straightforward service, and ours in each precision."""
    lines, figures = [], []
    for precision in (None, *conditions.precisions):
        with started(conditions, precision, QUERIES) as service:
            seen = _measured(service, conditions)
        outcome = seen.outcome
        rest = outcome.offered - outcome.refused - outcome.count(OK)
        lines.append(
            [
                service.name,
                f"{seen.capacity * TIMES:.0f}/s",
                f"{outcome.rate:.0f}/s of {seen.capacity:.0f}",
                f"{outcome.percentile(0.99):.2f} s",
                f"{outcome.count(REFUSED) / outcome.offered:.0%}",
                f"{(rest - outcome.count(REFUSED) + outcome.refused) / outcome.offered:.0%}",
                _waits(outcome),
                f"{seen.before / MIB:.0f}, {seen.peak / MIB:.0f} MiB",
                _seconds(seen.normal_after_s),
            ]
        )
        if precision:
            name = f"{TIMES}× overload: p99 of accepted queries, {precision}"
            figures.append(Figure.at_most(name, outcome.percentile(0.99), P99_S, form="{:.2f} s"))
            told = sum(count for wait, count in outcome.retry_after.items() if wait.isdigit())
            name = f"{TIMES}× overload: share of the others with 503 and Retry-After, {precision}"
            share = told / rest if rest else 1.0
            figures.append(Figure.at_least(name, share, 1.0, form="{:.1%}"))
            name = f"{TIMES}× overload: normal again after, {precision}"
            normal = seen.normal_after_s <= NORMAL_WITHIN_S
            figures.append(Figure(name, f"≤ {NORMAL_WITHIN_S:.1f} s", "", _seconds(seen.normal_after_s), normal))
    head = ["service", "offered", "answered", "p99 of these", "503", "no answer", "Retry-After"]
    text = (
        f"## {TIMES} times overload\n\n"
        f"Short queries for {OVERLOAD_S:g} s at {TIMES} times the rate that 32 connections reach. The client has "
        "connections for 2,000 that wait; what is due beyond that counts as without an answer, as does what has none "
        "half a minute after the end.\n\n" + rows([*head, "memory before, at peak", "normal again after"], lines)
    )
    return Section(text, figures)


def _waits(outcome: Outcome) -> str:
    waits = sorted(int(wait) for wait in outcome.retry_after if wait.isdigit())
    return f"{waits[0]} to {waits[-1]} s" if waits else "none"


def _seconds(value: float) -> str:
    return f"over {RECOVERY_S:.0f} s" if math.isinf(value) else f"{value:.1f} s"


def _measured(service: Service, conditions: Conditions) -> _Overload:
    capacity = QUERIES.measured(service, "", conditions)
    undisturbed = run(closed(service.port, islice(service.queries, UNDISTURBED), connections=1)).all_good()
    before = service.resident()
    outcome, peak, normal_after_s = run(_overload(service, conditions, capacity * TIMES, undisturbed.percentile(1.0)))
    return _Overload(capacity, outcome, before, peak, normal_after_s)


async def _overload(
    service: Service, conditions: Conditions, rate: float, usual_s: float
) -> tuple[Outcome, int, float]:
    seconds = conditions.seconds(OVERLOAD_S)
    over = asyncio.Event()

    async def load() -> Outcome:
        try:
            return await constant(service.port, service.queries, rate=rate, seconds=seconds)
        finally:
            over.set()

    async def peak() -> int:
        highest = 0
        while not over.is_set():
            highest = max(highest, service.resident())
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), LOOK_EVERY_S)
        return highest

    async def afterwards() -> float:
        await asyncio.sleep(seconds)
        try:
            async with asyncio.timeout(conditions.seconds(RECOVERY_S)):
                return await _until_normal(service, usual_s)
        except TimeoutError:
            return math.inf

    return await asyncio.gather(load(), peak(), afterwards())


async def _until_normal(service: Service, usual_s: float) -> float:
    """Seconds until the first of enough normal answers in a row was asked for."""
    end = since = perf_counter()
    connection = await connect(service.port)
    in_a_row = 0
    while in_a_row < IN_A_ROW:
        sent = perf_counter()
        answer = await connection.ask(next(service.queries))
        if answer.status == OK and perf_counter() - sent <= NOISE * usual_s:
            since = since if in_a_row else sent
            in_a_row += 1
        else:
            in_a_row = 0
        if not connection.usable:
            connection = await connect(service.port)
        await asyncio.sleep(ASK_EVERY_S)
    connection.close()
    return since - end
