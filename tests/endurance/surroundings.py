"""What the service needs and doesn't get: image hosts that answer, a disk to write on."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.endurance.clients import Habits, calling
from tests.endurance.faults import kill_decoder, kill_worker
from tests.endurance.known import Known
from tests.endurance.parties import Party, party
from tests.endurance.verdicts import Check

FETCH_TIMEOUT_S = 3
FAILING_REQUESTS = 6
# For an event loop that is busy, on top of the service's own limit.
LATE_S = 1.0
QUERIES_WITHIN_S = 0.5
STEADY = Habits(thinks_s=0.1, steady=True)
WITHOUT_A_DISK_S = 2.0
DISK = "size=64k"


async def hosts_that_fail(known: Known, folder: Path) -> list[Check]:
    """Who asked for their images is told so; queries go on."""
    async with party(known, folder, workers=1, FETCH_TIMEOUT_S=str(FETCH_TIMEOUT_S)) as here:
        return [
            *await _failing(here, "an image host that never answers", "stall", FETCH_TIMEOUT_S + LATE_S),
            *await _failing(here, "an image host that resets", "reset", LATE_S),
        ]


async def _failing(here: Party, what: str, behaviour: str, within_s: float) -> list[Check]:
    images, queries = here.another(), here.another()
    async with calling(queries.callers(2, STEADY)):
        asking = [images.ask_soon(images.questions.picture_by_url(behaviour)) for _ in range(FAILING_REQUESTS)]
        await asyncio.gather(*asking)
        await asyncio.sleep(LATE_S)
    told = f"{images.ledger.right} of {FAILING_REQUESTS}; {images.answers()}"
    return [
        Check(f"{what}: callers are told so", "all", told, images.ledger.right == FAILING_REQUESTS),
        Check.at_most(f"{what}: until they are", max(images.ledger.seconds, default=None), within_s),
        Check.at_most(f"{what}: slowest query meanwhile", max(queries.ledger.seconds, default=None), QUERIES_WITHIN_S),
        *queries.costs(f"{what}: queries meanwhile", []),
    ]


async def no_disk(known: Known, folder: Path) -> list[Check]:
    """The service goes on, and so does whoever takes the place of a worker or of a decoder that was killed."""
    with _unwritable(folder / "home") as how:
        async with party(known, folder, workers=2) as here:
            callers = here.callers(4, STEADY, here.questions.any)
            async with calling(callers):
                await asyncio.sleep(WITHOUT_A_DISK_S)
            for number in here.service.decoders():
                kill_decoder(number)
            victim = here.service.workers()[0]
            fault = kill_worker(here.service, victim)
            ready_s = await here.service.until_ready(frozenset([victim]))
            async with calling(callers):
                await asyncio.sleep(WITHOUT_A_DISK_S)
    return [
        *here.costs(how, [fault])[-1:],
        Check(f"{how}: a killed worker is replaced", "yes", f"within {ready_s:.1f} s", True),
    ]


@contextmanager
def _unwritable(folder: Path) -> Iterator[str]:
    """A folder on a disk that is full, which takes a mount; where that isn't allowed, one that may not be written."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", folder], stderr=subprocess.DEVNULL)
    if mounted.returncode:
        folder.chmod(0o555)
        yield "a read-only TMPDIR, HOME and working folder (only root can make a full disk)"
        folder.chmod(0o755)
        return
    try:
        with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        yield "a full disk as TMPDIR, HOME and working folder"
    finally:
        # Lazily: what was killed just now may not have let go of it.
        subprocess.run(["umount", "--lazy", folder], check=True)
