"""The bound on the bytes of images that are held at once."""

import pytest
from app.errors import Overloaded
from app.images.budget import ByteBudget


def test_as_much_as_there_is_can_be_taken_and_no_more() -> None:
    budget = ByteBudget(10)

    with budget.share() as one, budget.share() as another:
        one(4)
        another(6)

        with pytest.raises(Overloaded):
            one(1)


def test_a_refused_share_keeps_what_it_has() -> None:
    with ByteBudget(10).share() as take:
        with pytest.raises(Overloaded):
            take(11)

        take(10)


def test_what_was_taken_is_given_back_whatever_happens() -> None:
    budget = ByteBudget(10)

    def take_and_fail() -> None:
        with budget.share() as take:
            take(10)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        take_and_fail()

    with budget.share() as take:
        take(10)
