"""What the judging code notices: a lost request, a leak, a fault that excuses one thing and not another."""

import pytest

from tests.endurance.faults import Fault, Kind
from tests.endurance.ledger import Ledger, Loss, Spoiled
from tests.endurance.verdicts import (
    Check,
    Sample,
    drift,
    in_windows,
    of_descriptors,
    of_memory,
    of_processes,
    of_requests,
    spoiled_without_excuse,
    without_excuse,
)

MIB = 2**20
WORKER_KILLED = Fault("worker killed", at=100.0, ports=frozenset({4001, 4002}))


def loss(port: int, at: float) -> Loss:
    return Loss("query", "id", port, at, "closed without an answer")


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_request_is_excused_if_the_worker_that_held_its_connection_was_killed() -> None:
    assert without_excuse([loss(4001, 100.0), loss(4002, 101.9)], [WORKER_KILLED]) == []


@pytest.mark.parametrize(
    ("port", "at", "why"),
    [
        (4003, 100.1, "another worker held it"),
        (4001, 99.9, "it was lost before the kill"),
        (4001, 102.1, "the kill was long ago, and the port is somebody else's now"),
        (0, 100.1, "it got no connection at all"),
    ],
)
def test_a_request_is_not_excused_otherwise(port: int, at: float, why: str) -> None:
    lost = loss(port, at)

    assert without_excuse([lost], [WORKER_KILLED]) == [lost], why


@pytest.mark.parametrize("kind", ["decoder killed", "workers replaced"])
def test_no_other_fault_excuses_a_lost_request(kind: Kind) -> None:
    fault = Fault(kind, at=100.0, ports=frozenset({4001}))

    assert len(without_excuse([loss(4001, 100.1)], [fault])) == 1


def test_a_killed_decoder_excuses_one_image_that_was_on_its_way() -> None:
    kill = Fault("decoder killed", at=100.0)

    assert spoiled_without_excuse([Spoiled(1, asked=99.9, answered=100.1)], [kill]) == 0
    assert spoiled_without_excuse([Spoiled(2, asked=99.9, answered=100.1)], [kill]) == 1
    assert spoiled_without_excuse([Spoiled(1, 99.9, 100.1), Spoiled(1, 99.8, 100.2)], [kill]) == 1
    assert spoiled_without_excuse([Spoiled(1, asked=100.6, answered=100.8)], [kill]) == 1
    assert spoiled_without_excuse([Spoiled(1, asked=99.0, answered=99.9)], [kill]) == 1
    assert spoiled_without_excuse([Spoiled(1, asked=99.9, answered=100.1)], [WORKER_KILLED]) == 1


def test_a_run_in_which_every_request_was_answered_rightly_is_well() -> None:
    ledger = Ledger()
    ledger.asked["query"] = 3
    ledger.answered[200, ""] = 2
    ledger.hung_up = 1

    assert all(check.ok for check in of_requests(ledger, []))


def test_a_lost_request_is_noticed() -> None:
    ledger = Ledger()
    ledger.asked["query"] = 1
    ledger.losses.append(loss(4003, 100.1))

    check = by_name(of_requests(ledger, [WORKER_KILLED]))["requests lost without excuse"]

    assert (check.ok, check.measured) == (False, "1 (1 × closed without an answer)")


def test_a_request_that_nobody_knows_of_is_noticed() -> None:
    ledger = Ledger()
    ledger.asked["query"] = 2
    ledger.answered[200, ""] = 1

    assert not by_name(of_requests(ledger, []))["requests that nobody knows of"].ok


def test_an_answer_500_is_noticed() -> None:
    ledger = Ledger()
    ledger.asked["query"] = 1
    ledger.answered[500, "internal"] = 1

    assert not by_name(of_requests(ledger, []))["answers 500"].ok


def test_a_second_answer_is_noticed() -> None:
    ledger = Ledger()
    ledger.unasked = 17

    assert not by_name(of_requests(ledger, []))["bytes that nobody asked for"].ok


def sample(second: float, **mib: float) -> Sample:
    """What processes of these names held at a time."""
    held = {(name.partition("_")[0], number): round(each * MIB) for number, (name, each) in enumerate(mib.items())}
    return Sample(second, sum(held.values()), held)


def samples(*workers: float) -> list[Sample]:
    """One in each second, of a service whose worker holds so many MiB."""
    return [sample(second, arbiter=20, worker=held) for second, held in enumerate(workers)]


def test_samples_belong_to_the_window_in_which_they_were_taken() -> None:
    windows = in_windows(samples(*range(10)), begin=2, end=9, width=3)

    # Two windows of three seconds and a rest that is too short for one more.
    assert [[sample.at for sample in window] for window in windows] == [[2, 3, 4], [5, 6, 7, 8]]


def test_drift_is_that_of_the_window_that_is_farthest_from_the_first() -> None:
    assert drift([[100, 100], [104, 106], [80, 100]]) == pytest.approx(-0.10)


def test_memory_that_stays_is_well() -> None:
    checks = of_memory(samples(100, 101, 99, 100, 102, 98), 0, 6, 3, "here")

    assert [check.name for check in checks] == [
        "memory of all processes, here",
        "memory of arbiter, here",
        "memory of worker, here",
    ]
    assert all(check.ok for check in checks)


def test_memory_that_grows_is_noticed_in_the_role_where_it_grows() -> None:
    checks = by_name(of_memory(samples(100, 100, 100, 106, 106, 106, 112, 112, 112), 0, 9, 3, "here"))

    assert checks["memory of worker, here"].measured == "+12.0% of 100 MiB"
    assert not checks["memory of worker, here"].ok
    assert not checks["memory of all processes, here"].ok
    assert checks["memory of arbiter, here"].ok


def test_memory_that_grows_in_one_process_and_shrinks_in_another_is_noticed() -> None:
    run = [sample(second, worker_1=100 + second, worker_2=100 - second) for second in range(20)]

    assert all(check.ok for check in of_memory(run, 0, 20, 10, "here"))
    assert [check.ok for check in of_processes(run, 0, 20, 10, "here")] == [False, False]


def test_a_process_that_was_replaced_is_compared_with_no_other() -> None:
    run = [Sample(second, 3, {("arbiter", 1): 1, ("worker", 2 + second // 10): 2}) for second in range(20)]

    assert [check.name for check in of_processes(run, 0, 20, 10, "here")] == ["memory of arbiter that lasted, here"]


@pytest.mark.parametrize("run", [samples(), samples(100, 100, 100), samples(100, 100, 100, 100, 100)])
def test_memory_of_which_too_little_is_known_is_not_well(run: list[Sample]) -> None:
    assert [check.ok for check in of_memory(run, 0, 6, 3, "here")] == [False]


def test_files_that_stay_open_are_noticed() -> None:
    assert of_descriptors([20, 21], [21, 20]).ok
    assert not of_descriptors([20, 21], [20, 40]).ok
    assert not of_descriptors([20, 21], []).ok


def test_what_should_not_be_there_is_counted() -> None:
    assert Check.none("files left", []).ok
    assert Check.none("files left", ["a"], "a") == Check("files left", "0", "1 a", False)


def test_what_never_came_is_too_late() -> None:
    assert Check.at_most("end", 4.9, 5) == Check("end", "≤ 5 s", "4.90 s", True)
    assert not Check.at_most("end", 5.1, 5).ok
    assert Check.at_most("end", None, 5) == Check("end", "≤ 5 s", "never", False)
