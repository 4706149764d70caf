"""What is searched for, made of several things."""

import numpy as np
import pytest
from app.errors import InvalidRequest
from app.search.queries import mixed

from tests.search.conftest import unit

SEA, SHIPS = unit(1, 0.5), unit(0, 1)


def test_one_thing_alone_is_searched_for_as_it_is() -> None:
    assert mixed([SEA], [0.25]) == pytest.approx(SEA, abs=1e-7)


def test_several_things_count_by_their_weights() -> None:
    total = 2 * SEA - 0.5 * SHIPS

    assert mixed([SEA, SHIPS], [2, -0.5]) == pytest.approx(total / np.linalg.norm(total), abs=1e-6)


def test_what_is_searched_for_is_a_unit_vector_of_float32() -> None:
    vector = mixed([SEA, SHIPS], [0.1, 0.2])

    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size", [1e-320, 1e-30, 1e30, 1.7e308])
def test_weights_may_be_of_any_size(size: float) -> None:
    assert mixed([SEA, SHIPS], [size, -size]) == pytest.approx(mixed([SEA, SHIPS], [1, -1]), abs=1e-6)


def test_things_that_cancel_each_other_out_leave_nothing_to_search_for() -> None:
    with pytest.raises(InvalidRequest, match="cancel each other out"):
        mixed([SEA, SHIPS, SEA, SHIPS], [1, 2, -1, -2])
