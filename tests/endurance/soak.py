"""The service at a moderate load for long, among faults.

The time has two halves. In the first, after a while to warm up, workers and decoders are killed and workers replaced.
In the second workers are left alone, while decoders are still killed and image hosts still fail: what a worker loses
bit by bit shows only if it lives for long. Memory is compared within each half.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from app.images.fetch import MAX_CONNECTIONS_PER_HOST
from app.resources import cores
from benchmarks.load import percentile

from tests.endurance.clients import Caller, Habits, calling
from tests.endurance.faults import KINDS, Fault, Kind, commit, in_turn
from tests.endurance.hosts import IMAGE_HOSTS, ImageHost
from tests.endurance.known import Known
from tests.endurance.ledger import Ledger
from tests.endurance.page import Say
from tests.endurance.questions import Questions
from tests.endurance.service import Service, running
from tests.endurance.verdicts import Check, of_descriptors, of_memory, of_processes, of_requests
from tests.endurance.watch import ORPHANED_S, Watch, idle_descriptors, kept_connections

WORKERS = 2
CALLERS = 16
HABITS = Habits(thinks_s=0.2, new_connections=0.1, hangs_up=0.04)
# Fewer than there are things to ask about, so that some come from the cache and what is in it changes all the time.
CACHE_ITEMS = 100
FETCH_TIMEOUT_S = 5
WINDOW_S = 300.0
FAULT_EVERY_S = 30.0
FEWEST_FAULTS = 6
# What was begun ends, and connections that were hung up are noticed.
QUIET_S = 2.0
STOPPED_WITHIN_S = 5.0
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Plan:
    """How a soak's seconds are spent, all counted from its start."""

    seconds: float

    @property
    def window(self) -> float:
        """How long memory is averaged over; the same time to warm up, and to settle after the last fault."""
        return min(WINDOW_S, self.seconds / 6)

    @property
    def half(self) -> float:
        """When workers begin to be left alone."""
        return self.seconds / 2

    @property
    def fault_every(self) -> float:
        """How long from one fault to the next on average."""
        return min(FAULT_EVERY_S, (self.half - self.window) / FEWEST_FAULTS)

    @property
    def sample_every(self) -> float:
        """How long from one look at the processes to the next."""
        return max(1.0, self.window / 60)


@dataclass
class Soak:
    """What a soak has found so far."""

    plan: Plan
    started: float
    ledger: Ledger = field(default_factory=Ledger)
    faults: list[Fault] = field(default_factory=list)

    def progress(self, watch: Watch) -> str:
        """A line for who waits."""
        ledger = self.ledger
        held = f"{watch.samples[-1].together / 2**20:.0f} MiB" if watch.samples else "not settled yet"
        return (
            f"{(monotonic() - self.started) / 60:5.1f} min: {ledger.answers} answers, {ledger.right} right, "
            f"{sum(ledger.wrong.values())} wrong, {ledger.refused} refused for now, {len(ledger.losses)} lost, "
            f"{len(self.faults)} faults, {held}"
        )

    def summary(self) -> str:
        """What was asked, what was done, and what was answered."""
        ledger = self.ledger
        answered = Counter({f"{status} {code}".strip(): count for (status, code), count in ledger.answered.items()})
        p50, p99 = (percentile(ledger.seconds, share) * 1000 for share in (0.5, 0.99))
        return (
            f"{(monotonic() - self.started) / 60:.0f} minutes. "
            f"Asked: {_counts(ledger.asked)}; of these, {ledger.hung_up} callers hung up in the middle. "
            f"Faults: {_counts(Counter(fault.kind for fault in self.faults))}. "
            f"Answered, failing image hosts included: {_counts(answered)}; "
            f"half within {p50:.0f} ms, 99 % within {p99:.0f} ms."
        )


async def soak(minutes: float, seed: int, folder: Path, say: Say, say_every_s: float) -> tuple[str, list[Check]]:
    """Run one, and say what was asked and done; an interrupt ends it early, and what was found until then is judged."""
    known = Known.of_bundled_model()
    settings = {"CACHE_ITEMS": str(CACHE_ITEMS), "FETCH_TIMEOUT_S": str(FETCH_TIMEOUT_S)}
    async with ImageHost(known.pictures).open() as host, running(folder, WORKERS, **settings) as service:
        rng = Random(seed)
        found = Soak(Plan(minutes * 60), monotonic())
        watch = Watch(service, found.plan.sample_every)
        interrupted = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)

        def callers() -> list[Caller]:
            rngs = [Random(rng.random()) for _ in range(CALLERS)]
            return [
                Caller(
                    service.port, Questions(known, host, each, f"{number}-{each.random():.9f}").any, HABITS,
                    found.ledger, each,
                )
                for number, each in enumerate(rngs)
            ]  # fmt: skip

        async with _meanwhile(watch.run()), _meanwhile(_progress(found, watch, say, say_every_s)):
            say(f"warming up for {found.plan.window:.0f} s")
            async with calling(callers()):
                await _pause(interrupted, found.plan.window)
            await asyncio.sleep(QUIET_S)
            before = idle_descriptors(service)
            async with calling(callers()):
                say("faults of all kinds")
                await _faults(found, service, rng, KINDS, found.plan.half, interrupted)
                say("workers are left alone")
                await _faults(found, service, rng, ("decoder killed",), found.plan.seconds, interrupted)
            say("ending")
            await asyncio.sleep(QUIET_S)
            after = idle_descriptors(service)
            kept = kept_connections(service)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        checks = [*of_requests(found.ledger, found.faults), *_of_memory(found, watch)]
        checks.append(of_descriptors(before, after))
        most = MAX_CONNECTIONS_PER_HOST * IMAGE_HOSTS
        checks.append(Check("connections that a worker keeps to image hosts", f"≤ {most}", str(kept), kept <= most))
        checks += await _of_end(service, watch)
        _tell_what_was_wrong(found, service, say)
        return found.summary(), checks


async def _faults(
    found: Soak, service: Service, rng: Random, kinds: tuple[Kind, ...], until: float, interrupted: asyncio.Event
) -> None:
    """Do faults of some kinds, now and then, until it is time."""
    ends, every_s = found.started + until, found.plan.fault_every
    for kind in in_turn(kinds, rng):
        pause_s = rng.uniform(2 / 3, 4 / 3) * every_s
        if await _pause(interrupted, min(pause_s, ends - monotonic())) or monotonic() >= ends:
            return
        if fault := commit(kind, service, rng):
            found.faults.append(fault)


def _of_memory(found: Soak, watch: Watch) -> list[Check]:
    plan, start = found.plan, found.started
    among = (start + plan.window, start + plan.half)
    left_alone = (start + plan.half + plan.window, start + plan.seconds)
    return [
        *of_memory(watch.samples, *among, plan.window, "among faults"),
        *of_memory(watch.samples, *left_alone, plan.window, "with workers left alone"),
        *of_processes(watch.samples, *left_alone, plan.window, "with workers left alone"),
    ]


async def _of_end(service: Service, watch: Watch) -> list[Check]:
    """Whether it ends as it should, and nothing is left of it."""
    # While workers are replaced there is one more.
    most = (WORKERS + 1) * cores()
    started = monotonic()
    service.process.send_signal(signal.SIGTERM)
    status = await service.ended()
    took_s = None if status is None else monotonic() - started
    left = await service.gone(ORPHANED_S)
    return [
        Check("decoders at a time", f"≤ {most}", str(watch.most_decoders), watch.most_decoders <= most),
        Check.at_most("decoders outliving their worker", watch.longest_orphaned_s, ORPHANED_S),
        Check.at_most("end at SIGTERM", took_s, STOPPED_WITHIN_S),
        Check("exit status at SIGTERM", "0", str(status), status == 0),
        Check.none("processes left", left),
        Check.none("files left", watch.left_behind(), ", ".join(watch.left_behind()[:5])),
        Check.none("tracebacks in the log", service.log.read_text(errors="replace").count(TRACEBACK)),
    ]


def _tell_what_was_wrong(found: Soak, service: Service, say: Say) -> None:
    for loss in found.ledger.losses:
        since = [f"{loss.at - fault.at:.2f} s after {fault.kind}" for fault in found.faults if fault.at <= loss.at]
        say(f"lost: {loss.kind} {loss.id}: {loss.reason}; {since[-1] if since else 'before any fault'}")
    for reason, count in found.ledger.wrong.most_common():
        say(f"wrong, {count} times: {reason}")
    say(f"the log: {service.log}")


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())


async def _progress(found: Soak, watch: Watch, say: Say, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        say(found.progress(watch))


async def _pause(interrupted: asyncio.Event, seconds: float) -> bool:
    """Whether it was ended early."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await interrupted.wait()
    return interrupted.is_set()


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something for as long as the block lasts; what goes wrong with it is raised after it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
