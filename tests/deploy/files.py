"""What the tests of deployments read more than once."""

import re
from pathlib import Path
from typing import Any

import yaml
from app.config import Settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")

GRACE_S: float = Settings.model_fields["grace_s"].default
(SERVICE_USER,) = {int(user) for user in re.findall(r"^USER (\d+):", DOCKERFILE, re.M)}
(EXPOSED_PORT,) = {int(port) for port in re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.M)}


def read(path: Path) -> Any:
    """A YAML file that holds one document."""
    return yaml.safe_load(path.read_text("utf-8"))
