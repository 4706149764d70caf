"""The API's description is one that clients can be made from."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.callers.conftest import NODE_PROJECT, RunNode

DESCRIPTION = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT = json.loads(DESCRIPTION.read_text("utf-8"))
OPERATIONS = {
    (method, path): operation for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
}


def make_types(run_node: RunNode, node_modules: Path, description: Path) -> None:
    run_node(
        str(node_modules / "openapi-typescript" / "bin" / "cli.js"),
        str(description),
        "--redocly",
        str(NODE_PROJECT / "redocly.yaml"),
        "--output",
        "api.ts",
    )


def named(schema: dict[str, Any]) -> Iterator[str | None]:
    """The components that a schema is one of; None for what has no name of its own."""
    for form in schema.get("anyOf") or schema.get("oneOf") or [schema]:
        yield form.get("$ref")


@pytest.mark.slow
def test_a_client_on_generated_types_compiles(run_node: RunNode, node_modules: Path, tmp_path: Path) -> None:
    make_types(run_node, node_modules, DESCRIPTION)
    shutil.copy(NODE_PROJECT / "client.ts", tmp_path)

    run_node(
        str(node_modules / "typescript" / "bin" / "tsc"),
        "--strict",
        "--noUncheckedIndexedAccess",
        "--exactOptionalPropertyTypes",
        "--noEmit",
        "--target",
        "es2022",
        "--module",
        "preserve",  # packages are found as bundlers find them
        "client.ts",
    )


@pytest.mark.slow
def test_no_types_are_made_from_a_description_that_is_not_valid(
    run_node: RunNode, node_modules: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_text(DESCRIPTION.read_text("utf-8").replace('"operationId"', '"operationID"', 1))

    with pytest.raises(AssertionError, match="`operationID` is not expected here"):
        make_types(run_node, node_modules, tmp_path / "broken.json")


def test_operations_have_names_that_stay() -> None:
    assert {operation["operationId"]: call for call, operation in OPERATIONS.items()} == {
        "banner": ("get", "/"),
        "health": ("get", "/health"),
        "live": ("get", "/live"),
        "metrics": ("get", "/metrics"),
        "embed_text": ("post", "/embed-text"),
        "embed_image": ("post", "/embed-image"),
        "embed_texts": ("post", "/embed/text"),
        "embed_images": ("post", "/embed/image"),
        "embed_mixed": ("post", "/embed/mixed"),
        "search": ("post", "/search"),
        "ingest": ("post", "/ingest"),
        "about_index": ("get", "/index"),
        "list_items": ("get", "/items"),
        "get_item": ("get", "/items/{id}"),
        "delete_item": ("delete", "/items/{id}"),
        "create_embedding": ("post", "/v1/embeddings"),
        "list_models": ("get", "/v1/models"),
    }


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation["operationId"])
def test_every_answer_has_a_type_with_a_name(operation: dict[str, Any]) -> None:
    for response in operation["responses"].values():
        in_json = response["content"].get("application/json")
        assert all(named(in_json["schema"])) if in_json else [*response["content"]] == ["text/plain"]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation["operationId"])
def test_the_forms_of_a_body_are_told_apart_by_the_fields_that_they_need(operation: dict[str, Any]) -> None:
    schema = operation.get("requestBody", {"content": {}})["content"].get("application/json", {}).get("schema", {})
    names = [reference.rpartition("/")[2] for reference in named(schema) if reference]
    needed = [tuple(DOCUMENT["components"]["schemas"][name].get("required", ())) for name in names]

    assert len(set(needed)) == len(needed)


def test_nothing_is_left_of_the_framework_s_own_failures() -> None:
    assert not re.findall(r"\w*ValidationError", DESCRIPTION.read_text("utf-8"))
