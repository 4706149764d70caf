"""`tate-embeddings check` of the instance that all callers share."""

import pytest
from app import cli

from tests.callers.conftest import Instance


@pytest.mark.slow
def test_the_service_holds_no_surprise(instance: Instance, image_host: str, capsys: pytest.CaptureFixture[str]) -> None:
    image_url = f"{image_host}/painting.png"
    status = cli.main(["check", instance.url, "--token", instance.token, "--image-url", image_url])

    said = capsys.readouterr().out
    assert (status, "FAILED" in said) == (0, False), said
    assert said.count("behind a URL") == 2
