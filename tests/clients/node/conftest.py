"""The Node client as it is installed: packed, and unpacked into a folder that has what its tests need."""

import shutil
from pathlib import Path

import pytest
from tools.node import installed
from tools.pack_node_client import pack

from tests.callers.conftest import image_host, instance
from tests.test_endpoints import painting

__all__ = ["image_host", "instance"]

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm install` takes."""
    return pack(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def callers(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client's tests, in which the package is installed; a picture lies there too."""
    folder = installed(tmp_path_factory.mktemp("callers"), tarball)
    for file in (*HERE.glob("*.mjs"), *HERE.glob("*.ts")):
        shutil.copy(file, folder)
    painting().save(folder / "painting.jpg")
    return folder
