"""Which answers are right: to whom, of what form, with which vector."""

from time import monotonic
from typing import Any

import httpx
import numpy as np
import pytest
from app.commands.instance import Answer, Surprise

from tests.endurance.answers import code_of, refused_for_now, spoiled
from tests.endurance.forms import Question
from tests.endurance.known import distinct, judge_vector
from tests.endurance.ledger import Ledger

RIGHT = np.array([0.6, 0.8], np.float32)


def answer(status: int, body: Any, to: str = "mine") -> Answer:
    return Answer(status, httpx.Headers({"X-Request-ID": to, "Content-Length": "2"}), body, 0)


def question(images: int = 0) -> Question:
    return Question("query", "mine", b"", b"", lambda given: judge_vector(given.body["embedding"], RIGHT), images)


def judged(given: Answer, images: int = 0) -> Ledger:
    ledger = Ledger()
    ledger.judge(question(images), given, monotonic())
    return ledger


def test_the_right_vector_is_right() -> None:
    ledger = judged(answer(200, {"embedding": [0.6, 0.8]}))

    assert (ledger.right, ledger.answers, ledger.wrong) == (1, 1, {})


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ([0.8, 0.6], "a wrong vector: its cosine to the right one is 0.960000"),
        ([-0.6, -0.8], "a wrong vector"),
        ([1.2, 1.6], "a vector of length 2"),
        ([0.6, 0.8, 0.0], "the vector's shape"),
        ([float("nan"), 0.8], "a vector of length nan"),
    ],
)
def test_a_wrong_vector_is_noticed(vector: list[float], reason: str) -> None:
    ledger = judged(answer(200, {"embedding": vector}))

    assert ledger.right == 0
    assert [told for told in ledger.wrong if reason in told]


def test_an_answer_to_somebody_else_is_noticed() -> None:
    ledger = judged(answer(200, {"embedding": [0.6, 0.8]}, to="yours"))

    assert [*ledger.wrong] == ["query: an answer to yours instead of mine [200]"]


@pytest.mark.parametrize("body", [None, [], {"embeddings": []}, {"embedding": "abc"}])
def test_an_answer_of_another_form_is_noticed(body: Any) -> None:
    assert sum(judged(answer(200, body)).wrong.values()) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 502, 504])
def test_a_failure_that_was_not_to_be_expected_is_noticed(status: int) -> None:
    assert sum(judged(answer(status, {"detail": "No.", "code": "some"})).wrong.values()) == 1


@pytest.mark.parametrize("code", ["overloaded", "not_ready"])
def test_a_caller_may_be_told_to_come_again(code: str) -> None:
    ledger = judged(answer(503, {"detail": "Later.", "code": code}))

    assert (ledger.refused, ledger.wrong) == (1, {})


def test_nobody_may_be_told_to_come_again_without_a_reason() -> None:
    assert sum(judged(answer(503, None)).wrong.values()) == 1
    with pytest.raises(Surprise):
        refused_for_now(answer(503, {"code": "internal"}))


def test_an_image_whose_decoder_failed_is_taken_down_and_judged_later() -> None:
    ledger = judged(answer(422, {"detail": "Broken.", "code": "image_corrupt"}), images=1)

    assert [each.images for each in ledger.spoiled] == [1]
    assert ledger.wrong == {}


def test_no_image_is_corrupt_in_a_question_without_one() -> None:
    assert sum(judged(answer(422, {"detail": "Broken.", "code": "image_corrupt"})).wrong.values()) == 1


def test_failures_are_read_in_every_form() -> None:
    assert code_of(answer(422, {"error": {"code": "image_corrupt"}})) == "image_corrupt"
    assert code_of(answer(200, {"embedding": []})) == code_of(answer(502, None)) == ""
    assert spoiled(answer(200, {"failed": [{"code": "image_corrupt"}, {"code": "not_an_image"}]})) == 1
    assert spoiled(answer(422, {"error": {"code": "image_corrupt"}})) == 1


def test_what_became_of_every_request_adds_up() -> None:
    ledger = judged(answer(200, {"embedding": [0.6, 0.8]}))
    ledger.asked["query"] = 4
    ledger.lose(question(), 4001, "closed without an answer")
    ledger.hung_up = 1

    assert ledger.unaccounted == 1


def test_vectors_that_cannot_be_told_apart_are_not_asked_for() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0.01], [0.6, 0.8]], np.float32)

    assert distinct(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) == [0, 1, 3]
