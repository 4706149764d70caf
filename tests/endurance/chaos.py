"""Each fault on its own, in a service of its own, and what it costs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.endurance import kills, stops, surroundings
from tests.endurance.known import Known
from tests.endurance.page import Say
from tests.endurance.verdicts import Check

FAULTS: Mapping[str, Callable[[Known, Path], Awaitable[list[Check]]]] = {
    "worker": kills.one_of_two_workers,
    "only-worker": kills.the_only_worker,
    "decoders": kills.decoders,
    "arbiter": kills.the_arbiter,
    "replacing": stops.replacing_workers,
    "stop-idle": stops.stopping_when_idle,
    "stop-busy": stops.stopping_when_busy,
    "interrupt": stops.interrupting_twice,
    "hosts": surroundings.hosts_that_fail,
    "disk": surroundings.no_disk,
}


async def chaos(names: Sequence[str], folder: Path, say: Say) -> list[Check]:
    """Do some of them, one after the other."""
    known = Known.of_bundled_model()
    checks = []
    for name in names:
        say(f"{name}: {FAULTS[name].__doc__}")
        own = folder / name
        own.mkdir()
        try:
            found = await FAULTS[name](known, own)
        except Exception as error:
            # Somebody has waited for the others, and is to have them.
            found = [Check(name, "to be measured", f"{type(error).__name__}: {error}"[:300], False)]
        checks += found
        for check in found:
            say(f"  {'ok' if check.ok else 'NO'}: {check.name}: {check.measured}, wanted {check.wanted}")
    return checks
