"""Looks at the service's processes every few seconds, from its start to its end."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from benchmarks.service import resident

from tests.endurance import procfs
from tests.endurance.service import Service, is_decoder
from tests.endurance.verdicts import Sample

# Where files of a process may come to lie, other than in its own folder.
SHARED_MEMORY = Path("/dev/shm")
SHARED = (Path("/tmp"), SHARED_MEMORY)
# No process is looked at whose memory is still growing to what it needs.
SETTLED_S = 6.0
# A decoder whose worker has ended may take so long to notice.
ORPHANED_S = 5.0


class Watch:
    """What was seen. Memory counts only when all is well: all workers healthy, and no process started just now.

    Otherwise a window with one fault more would have another mean than its neighbour, whatever the service does.
    """

    def __init__(self, service: Service, every_s: float) -> None:
        self.samples: list[Sample] = []
        self.most_decoders = 0
        self.longest_orphaned_s = 0.0
        self._service = service
        self._every_s = every_s
        self._healthy: set[int] = set()
        self._opened: set[str] = set()
        self._orphaned: dict[int, float] = {}
        self._before = shared_files()

    async def run(self) -> None:
        """Look until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Look once."""
        service = self._service
        workers = service.workers()
        self._healthy = {*self._healthy, *await service.ready()} & set(workers)
        processes = service.processes()
        self._look_at_decoders(processes, workers)
        for number in processes:
            self._opened.update(procfs.descriptors(number).values(), procfs.mapped(number))
        settled = all(procfs.age_s(number) >= SETTLED_S for number in processes)
        if settled and len(self._healthy) == service.count:
            self._sample(processes)

    def _sample(self, processes: Sequence[int]) -> None:
        held = {(self._role(number), number): resident(number) for number in processes}
        together = [procfs.proportional(number) for number in processes]
        if all(held.values()) and all(together):  # none has ended meanwhile
            self.samples.append(Sample(monotonic(), sum(together), held))

    def _role(self, number: int) -> str:
        if number == self._service.process.pid:
            return "the first process"
        return "a decoder" if is_decoder(number) else "a worker"

    def _look_at_decoders(self, processes: Sequence[int], workers: Sequence[int]) -> None:
        decoders = [number for number in processes if is_decoder(number)]
        self.most_decoders = max(self.most_decoders, len(decoders))
        now = monotonic()
        orphans = [number for number in decoders if procfs.parent(number) not in {*workers, None}]
        self._orphaned = {number: self._orphaned.get(number, now) for number in orphans}
        self.longest_orphaned_s = max([self.longest_orphaned_s, *(now - since for since in self._orphaned.values())])

    def left_behind(self) -> list[str]:
        """Files that were not there before and are now: its own, and what any of its processes had open or mapped.

        In folders that all share, others come and go.
        """
        opened = {name for name in shared_files() - self._before if any(_within(name, each) for each in self._opened)}
        return sorted({*self._service.left_behind(), *left_in_shared_memory(self._before), *opened})


def left_in_shared_memory(before: set[str]) -> list[str]:
    """Files in shared memory that were not there before, when the service has ended: who uses one is another."""
    used = procfs.in_use()
    return sorted(
        name
        for name in shared_files() - before
        if Path(name).is_relative_to(SHARED_MEMORY) and not any(_within(name, each) for each in used)
    )


def idle_descriptors(service: Service) -> list[int]:
    """How many files each worker has open, but for connections that it keeps to image hosts."""
    return [len(procfs.descriptors(number)) - procfs.connections_from(number) for number in sorted(service.workers())]


def kept_connections(service: Service) -> int:
    """The most connections that a worker keeps to image hosts."""
    return max(map(procfs.connections_from, service.workers()), default=0)


def shared_files() -> set[str]:
    """Entries of the shared folders that are this user's."""
    found = set()
    for folder in SHARED:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.stat(follow_symlinks=False).st_uid == os.getuid():
                        found.add(entry.path)
                except FileNotFoundError:
                    continue
    return found


def _within(folder: str, file: str) -> bool:
    return file == folder or file.startswith(f"{folder}/")
