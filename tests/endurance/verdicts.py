"""What is good and what isn't: a judgement over what was found, by rules without a clock or a process in them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tests.endurance.faults import Fault
from tests.endurance.ledger import Ledger, Loss, Spoiled

# How long after a kill its callers may be in learning of it.
NOTICED_WITHIN_S = 2.0
# An image that was on its way to its decoder when that was killed, as clocks of two processes tell.
ON_ITS_WAY_S = 0.5
MEMORY_ALLOWED = 0.05
# Fewer than so many say nothing of five minutes, nor of half a one.
FEWEST_SAMPLES = 3
# Pipes, logs and event loops come and go by one or two.
DESCRIPTORS_ALLOWED = 3


@dataclass(frozen=True)
class Check:
    """Something that was looked at, what is wanted of it, and what was found."""

    name: str
    wanted: str
    measured: str
    ok: bool

    @classmethod
    def none(cls, name: str, found: Sequence[object] | int, note: str = "") -> "Check":
        """There should be none; `note` says more of those that there are."""
        count = found if isinstance(found, int) else len(found)
        return cls(name, "0", f"{count} {note}".rstrip(), count == 0)

    @classmethod
    def at_most(cls, name: str, measured: float | None, most: float, unit: str = "s") -> "Check":
        """Less is better, and what never came is worst."""
        value = inf if measured is None else measured
        shown = "never" if measured is None else f"{measured:.2f} {unit}"
        return cls(name, f"≤ {most:g} {unit}", shown, value <= most)


@dataclass(frozen=True)
class Sample:
    """Bytes that the service held at a time when all was well.

    `together` counts what processes share once. `held` is by role and number what each has, shared or not: its part in
    what is shared would change whenever another process begins to have its own.
    """

    at: float
    together: int
    held: Mapping[tuple[str, int], int]

    def mean(self, role: str) -> float:
        """Of one process in a role."""
        found = [held for (each, _), held in self.held.items() if each == role]
        return sum(found) / len(found)


def excused(loss: Loss, faults: Sequence[Fault]) -> bool:
    """Whether a request was lost because the worker that held its connection was killed."""
    return any(
        loss.port in fault.ports and fault.at <= loss.at <= fault.at + NOTICED_WITHIN_S
        for fault in faults
        if fault.kind == "worker killed"
    )


def without_excuse(losses: Sequence[Loss], faults: Sequence[Fault]) -> list[Loss]:
    """Requests that were lost for no good reason."""
    return [loss for loss in losses if not excused(loss, faults)]


def spoiled_without_excuse(spoiled: Sequence[Spoiled], faults: Sequence[Fault]) -> int:
    """Images that failed though no decoder was killed meanwhile. One kill excuses one image."""
    kills = [fault.at for fault in faults if fault.kind == "decoder killed"]
    unexcused = 0
    for each in sorted(spoiled, key=lambda each: each.answered):
        for _ in range(each.images):
            kill = next((at for at in kills if each.asked - ON_ITS_WAY_S <= at <= each.answered), None)
            if kill is None:
                unexcused += 1
            else:
                kills.remove(kill)
    return unexcused


def of_requests(ledger: Ledger, faults: Sequence[Fault]) -> list[Check]:
    """Whether every request had exactly one answer, and the right one."""
    lost = without_excuse(ledger.losses, faults)
    held = sum(len(fault.ports) for fault in faults)
    excused_count = len(ledger.losses) - len(lost)
    defects = sum(count for (status, _), count in ledger.answered.items() if status == 500)
    spoilt = sum(each.images for each in ledger.spoiled)
    return [
        Check.none("requests that nobody knows of", ledger.unaccounted),
        Check.none("requests lost without excuse", lost, _most(loss.reason for loss in lost)),
        Check("requests lost to kills", f"≤ {held} connections held", str(excused_count), excused_count <= held),
        Check.none("bytes that nobody asked for", ledger.unasked),
        Check.none("answers 500", defects),
        Check.none("wrong answers, wrong vectors among them", sum(ledger.wrong.values())),
        Check.none(
            "images failed without excuse",
            spoiled_without_excuse(ledger.spoiled, faults),
            f"({spoilt} in decoders that were killed)" if spoilt else "",
        ),
    ]


def of_memory(samples: Sequence[Sample], begin: float, end: float, width: float, when: str) -> list[Check]:
    """Whether memory stays as it is in the first window: all of it, and of a process in each role.

    A window is of some seconds from `begin`; what is left before `end` belongs to the last one.
    """
    windows = in_windows(samples, begin, end, width)
    if len(windows) < 2 or any(len(window) < FEWEST_SAMPLES for window in windows):
        counts = ", ".join(str(len(window)) for window in windows)
        return [Check(f"memory, {when}", f"≥ {FEWEST_SAMPLES} samples a window", counts or "none", False)]
    first = windows[0][0]
    roles = sorted({role for role, _ in first.held})
    checks = [_flat(f"memory of all processes, {when}", [[each.together for each in window] for window in windows])]
    for role in roles:
        means = [[each.mean(role) for each in window] for window in windows]
        checks.append(_flat(f"memory of {role}, {when}", means))
    return checks


def of_processes(samples: Sequence[Sample], begin: float, end: float, width: float, when: str) -> list[Check]:
    """Whether each process that was there all the time has kept its memory."""
    windows = in_windows(samples, begin, end, width)
    if not all(windows):
        return []  # which has been judged already
    lasting = set.intersection(*(set(sample.held) for window in windows for sample in window))
    return [
        _flat(
            f"memory of {role} that lasted, {when}",
            [[each.held[role, number] for each in window] for window in windows],
        )
        for role, number in sorted(lasting)
    ]


def in_windows(samples: Sequence[Sample], begin: float, end: float, width: float) -> list[list[Sample]]:
    """Samples by the window in which they were taken."""
    count = max(1, round((end - begin) / width))
    windows: list[list[Sample]] = [[] for _ in range(count)]
    for sample in samples:
        if begin <= sample.at < end:
            windows[min(count - 1, int((sample.at - begin) / width))].append(sample)
    return windows


def drift(windows: Sequence[Sequence[float]]) -> float:
    """How far the mean of a window is at most from the mean of the first, as a share of it; with its sign."""
    means = [sum(window) / len(window) for window in windows]
    return max((mean / means[0] - 1 for mean in means[1:]), key=abs)


def of_descriptors(before: Sequence[int], after: Sequence[int]) -> Check:
    """Whether no worker has more open than workers had at first."""
    most = max(before, default=0) + DESCRIPTORS_ALLOWED
    shown = f"{', '.join(map(str, after))}, at first {', '.join(map(str, before))}"
    return Check("open files of a worker at the end", f"≤ {most}", shown, bool(after) and max(after) <= most)


def _flat(name: str, windows: Sequence[Sequence[float]]) -> Check:
    change = drift(windows)
    first = sum(windows[0]) / len(windows[0]) / 2**20
    return Check(name, f"± {MEMORY_ALLOWED:.0%}", f"{change:+.1%} of {first:.0f} MiB", abs(change) <= MEMORY_ALLOWED)


def _most(reasons: Iterable[str]) -> str:
    counted = Counter(reasons).most_common(3)
    return f"({', '.join(f'{count} × {reason}' for reason, count in counted)})" if counted else ""
