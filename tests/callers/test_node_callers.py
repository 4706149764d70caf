"""Callers that are written for Node. What they expect stands beside them, in tests of Node's own."""

import re
from pathlib import Path

import pytest

from tests.callers.conftest import NODE_PROJECT, Instance, RunNode

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("script", sorted(NODE_PROJECT.glob("*.test.mjs")), ids=lambda script: script.name)
def test_callers_written_for_node_get_what_they_expect(
    instance: Instance, image_host: str, run_node: RunNode, script: Path
) -> None:
    printed = run_node(
        "--test",
        str(script),
        SERVICE_URL=instance.url,
        SERVICE_TOKEN=instance.token,
        SERVICE_MODEL=instance.model,
        IMAGE_URL=f"{image_host}/painting.png",
        OPENAI_BASE_URL=f"{instance.url}/v1",
        OPENAI_API_KEY=instance.token,
    )

    assert re.search(r"pass [1-9]", printed)
