"""The whole description of the API, fuzzed: no 5xx, and every answer is one that the description knows."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.callers.conftest import Instance, running
from tests.test_status import SNAPSHOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that fetches from nowhere: whatever host is made up, it isn't looked up. Its index is its own."""
    folder = tmp_path_factory.mktemp("closed")
    index = f"faiss://{folder / 'index'}"
    with running(folder, ALLOWED_IMAGE_HOSTS="images.invalid", INDEX_URL=index) as instance:
        yield instance


schema = schemathesis.openapi.from_path(SNAPSHOT)


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case: Any, closed: Instance) -> None:
    excluded = [positive_data_acceptance]  # no schema can say which text is the base64 of an image
    # A wrong item doesn't fail the others, and an empty list for a field of a form is no field at all.
    if (case.path, case.media_type) in (("/ingest", "application/json"), ("/search", "multipart/form-data")):
        excluded.append(negative_data_rejection)
    case.call_and_validate(
        base_url=closed.url, headers={"Authorization": f"Bearer {closed.token}"}, excluded_checks=excluded
    )
