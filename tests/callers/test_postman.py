"""The Postman collection, run by `newman` as those who import it run it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.callers.conftest import Instance, RunNode

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def newman(instance: Instance, image_host: str, run_node: RunNode, node_modules: Path) -> Callable[..., str]:
    """Runs the collection with a token and gives its report, or fails with that where an assertion doesn't hold."""

    def run(token: str, *options: str) -> str:
        variables = {
            "baseUrl": instance.url,
            "token": token,
            "model": instance.model,
            "imageUrl": f"{image_host}/painting.png",
        }
        return run_node(
            str(node_modules / "newman" / "bin" / "newman.js"),
            "run",
            str(ROOT / "postman_collection.json"),
            "--working-dir",
            str(ROOT),
            *(word for name, value in variables.items() for word in ("--env-var", f"{name}={value}")),
            *options,
        )

    return run


def test_every_assertion_of_the_collection_holds(newman: Callable[..., str], instance: Instance) -> None:
    assert "of length 1" in newman(instance.token)


def test_the_collection_fails_where_an_answer_is_another(newman: Callable[..., str]) -> None:
    with pytest.raises(AssertionError, match=r"embed-text \[401 Unauthorized"):
        newman("wrong", "--bail")
