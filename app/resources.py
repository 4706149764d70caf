"""What this container may really use of the machine: cores, memory, GPUs."""

import functools
import importlib.util
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

SYSTEM = Path("/")


def cores(root: Path = SYSTEM) -> int:
    """How many cores' worth of time this process gets: its affinity, and the quota of its control groups."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _control_groups(root, "cpu") if (quota := _cpu_quota(group)) is not None]
    return max(1, int(min([allowed, *quotas])))


def memory(root: Path = SYSTEM) -> int:
    """How many bytes this process may use: the machine's, or less if a control group says so."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [
        limit
        for group in _control_groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(group / name)) is not None
    ]
    return min([machine, *limits])


def resident(root: Path = SYSTEM) -> int:
    """How many bytes of memory this process holds; 0 where that can't be told."""
    try:
        return int((root / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def allow_open_files(count: int) -> int:
    """Let this process, and those that it starts from now on, have so many files open at once, connections included.

    Returns:
        How many they may have, which is less if the system's hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return count
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


@functools.cache
def gpus() -> int:
    """How many CUDA devices torch would see, asked in another process: a fork must not inherit CUDA's state."""
    if not has_nvidia_device() or importlib.util.find_spec("torch") is None:
        return 0
    answer = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"], capture_output=True, text=True
    )
    return int(answer.stdout) if answer.returncode == 0 else 0


def has_nvidia_device() -> bool:
    """Whether there is a GPU, whatever torch makes of it."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """This process's group and those around it, in version 2 and then in version 1; any of them may set a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controller
        else:
            continue
        # In a container the path may be the host's, and its own group is what is mounted.
        group = mount / path.lstrip("/")
        yield from (place for place in (group, *group.parents) if place.is_relative_to(mount))


def _cpu_quota(group: Path) -> float | None:
    """The quota in cores: `cpu.max` in version 2, two files in version 1."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        version_1 = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if version_1[0] is None or version_1[1] is None or version_1[0] <= 0:
            return None
        return version_1[0] / version_1[1]
    return None if quota == "max" else int(quota) / int(period)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def on_all_cores() -> ProcessPoolExecutor:
    """Processes, one for each core. They aren't forked from one that has threads, of which one may hold a lock then."""
    forked = sys.platform == "linux" and threading.active_count() == 1
    return ProcessPoolExecutor(cores(), get_context("fork" if forked else "spawn"))
