"""What is written for Node, with the packages that its callers use."""

from pathlib import Path

import pytest

from tests.callers.conftest import Instance, RunNode

pytestmark = pytest.mark.slow


def test_the_openai_package_gets_vectors(instance: Instance, run_node: RunNode, tmp_path: Path) -> None:
    (tmp_path / "call.mjs").write_text(
        """
        import OpenAI from "openai";
        const client = new OpenAI();
        const answer = await client.embeddings.create({ model: process.env.MODEL, input: ["a stormy sea", "a dog"] });
        console.log(answer.data.map(item => item.embedding.length).join());
        """
    )

    printed = run_node(
        "call.mjs", OPENAI_BASE_URL=f"{instance.url}/v1", OPENAI_API_KEY=instance.token, MODEL=instance.model
    )

    assert printed == "512,512\n"
