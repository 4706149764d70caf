"""What a container may use, read from control groups as Linux shows them."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app import resources
from app.resources import cores, gpus, memory

GIB = 1024**3
UNLIMITED_IN_VERSION_1 = 9223372036854771712

WriteFiles = Callable[[dict[str, str]], Path]


@pytest.fixture
def root(tmp_path: Path) -> WriteFiles:
    """Write files below a stand-in for `/`."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


@pytest.fixture
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.fixture
def _sixteen_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * GIB // 4096}
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)


def version_2(own: str = "/", **groups: str) -> dict[str, str]:
    return {"proc/self/cgroup": f"0::{own}\n"} | {f"sys/fs/cgroup/{name}": text for name, text in groups.items()}


@pytest.mark.usefixtures("_eight_cores")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("199999 100000", 1),
        ("200000 100000", 2),
        ("350000 100000", 3),
        ("25000 10000", 2),
        ("6400000 100000", 8),
        ("", 8),
        ("100000", 8),
    ],
)
def test_cores_are_the_affinity_within_the_quota_of_version_2(root: WriteFiles, quota: str, expected: int) -> None:
    assert cores(root(version_2(**{"cpu.max": quota + "\n"}))) == expected


def test_a_quota_over_the_affinity_gives_no_more_than_the_affinity(
    root: WriteFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)

    assert cores(root(version_2(**{"cpu.max": "200000 100000\n"}))) == 1


def test_without_affinity_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)

    assert cores(tmp_path) == 6


def test_where_nobody_knows_the_cores_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)

    assert cores(tmp_path) == 1


@pytest.mark.usefixtures("_eight_cores")
@pytest.mark.parametrize(
    ("own", "outer", "expected"), [("max 100000", "300000 100000", 3), ("200000 100000", "300000 100000", 2)]
)
def test_a_group_is_limited_by_those_around_it(root: WriteFiles, own: str, outer: str, expected: int) -> None:
    files = version_2("/pod/box", **{"pod/cpu.max": outer, "pod/box/cpu.max": own})

    assert cores(root(files)) == expected


@pytest.mark.usefixtures("_eight_cores")
@pytest.mark.parametrize("own", ["/docker/0123456789abcdef", "/../../other", "/a:b"])
def test_a_containers_own_group_is_what_is_mounted_if_its_path_is_the_hosts(root: WriteFiles, own: str) -> None:
    assert cores(root(version_2(own, **{"cpu.max": "200000 100000"}))) == 2


@pytest.mark.usefixtures("_eight_cores")
@pytest.mark.parametrize(("quota", "expected"), [("150000", 1), ("400000", 4), ("-1", 8), ("0", 8)])
def test_cores_are_within_the_quota_of_version_1(root: WriteFiles, quota: str, expected: int) -> None:
    group = "sys/fs/cgroup/cpu/docker/box"
    files = {
        "proc/self/cgroup": "12:memory:/docker/box\n4:cpu,cpuacct:/docker/box\n1:name=systemd:/docker/box\n",
        f"{group}/cpu.cfs_quota_us": quota,
        f"{group}/cpu.cfs_period_us": "100000\n",
    }

    assert cores(root(files)) == expected


@pytest.mark.usefixtures("_eight_cores")
def test_a_quota_of_version_1_without_its_period_is_none(root: WriteFiles) -> None:
    files = {"proc/self/cgroup": "4:cpu,cpuacct:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000"}

    assert cores(root(files)) == 8


@pytest.mark.usefixtures("_eight_cores", "_sixteen_gib")
def test_without_control_groups_the_whole_machine_counts(tmp_path: Path) -> None:
    assert (cores(tmp_path), memory(tmp_path)) == (8, 16 * GIB)


@pytest.mark.usefixtures("_sixteen_gib")
@pytest.mark.parametrize(("limit", "expected"), [("max", 16 * GIB), (f"{2 * GIB}", 2 * GIB), (f"{99 * GIB}", 16 * GIB)])
def test_memory_is_the_machines_within_the_limit_of_version_2(root: WriteFiles, limit: str, expected: int) -> None:
    assert memory(root(version_2(**{"memory.max": limit + "\n"}))) == expected


@pytest.mark.usefixtures("_sixteen_gib")
def test_memory_is_limited_by_the_groups_around(root: WriteFiles) -> None:
    files = version_2("/pod/box", **{"pod/memory.max": f"{GIB}", "pod/box/memory.max": f"{3 * GIB}"})

    assert memory(root(files)) == GIB


@pytest.mark.usefixtures("_sixteen_gib")
@pytest.mark.parametrize(("limit", "expected"), [(GIB, GIB), (UNLIMITED_IN_VERSION_1, 16 * GIB)])
def test_memory_is_within_the_limit_of_version_1(root: WriteFiles, limit: int, expected: int) -> None:
    files = {
        "proc/self/cgroup": "12:memory:/docker/box\n4:cpu,cpuacct:/docker/box\n",
        "sys/fs/cgroup/memory/docker/box/memory.limit_in_bytes": f"{limit}\n",
    }

    assert memory(root(files)) == expected


def test_this_machine_has_a_core_and_memory() -> None:
    assert cores() >= 1
    assert memory() > 0


@pytest.fixture
def ask_anew() -> Iterator[None]:
    """Forget what was found out about GPUs, before and after."""
    gpus.cache_clear()
    yield
    gpus.cache_clear()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, ask_anew: None) -> Callable[..., list[Any]]:
    """Let there be a device, and let torch answer as is given here."""
    asked: list[Any] = []

    def answer(stdout: str, status: int = 0) -> list[Any]:
        def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            asked.append(command)
            return subprocess.CompletedProcess(command, status, stdout=stdout, stderr="")

        monkeypatch.setattr(resources, "has_nvidia_device", lambda: True)
        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return answer


@pytest.mark.usefixtures("ask_anew")
def test_without_a_device_there_are_no_gpus_and_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "has_nvidia_device", lambda: False)
    monkeypatch.delattr(subprocess, "run")

    assert gpus() == 0


def test_without_torch_there_are_no_gpus(answers: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers("1\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert gpus() == 0
    assert not asked


@pytest.mark.parametrize(("stdout", "status", "expected"), [("0\n", 0, 0), ("4\n", 0, 4), ("", 1, 0), ("", -11, 0)])
def test_gpus_are_as_many_as_torch_sees(
    answers: Callable[..., list[Any]], stdout: str, status: int, expected: int
) -> None:
    answers(stdout, status)

    assert gpus() == expected


def test_torch_is_asked_once_and_in_a_process_of_its_own(answers: Callable[..., list[Any]]) -> None:
    asked = answers("2\n")

    assert (gpus(), gpus()) == (2, 2)
    assert len(asked) == 1
    assert asked[0][0] == sys.executable


def test_a_device_is_looked_for_where_drivers_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []

    def glob(place: Path, pattern: str) -> list[Path]:
        places.append(f"{place}/{pattern}")
        return []

    def exists(place: Path) -> bool:
        places.append(f"{place}")
        return False

    monkeypatch.setattr(Path, "glob", glob)
    monkeypatch.setattr(Path, "exists", exists)

    assert resources.has_nvidia_device() is False
    assert places == ["/dev/nvidia[0-9]*", "/dev/dxg"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((1024, 8192), (5000, (5000, 8192))), ((1024, 4096), (4096, (4096, 4096))), ((6000, 8192), (6000, (6000, 8192))),
     ((1024, resource.RLIM_INFINITY), (5000, (5000, resource.RLIM_INFINITY)))],
)  # fmt: skip
def test_as_many_files_may_be_open_as_are_needed_and_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], expected: tuple[int, tuple[int, int]]
) -> None:
    now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, changed: now.append(changed))

    assert (resources.allow_open_files(5000), now[-1]) == expected
