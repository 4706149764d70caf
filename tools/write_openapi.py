"""Writes the OpenAPI document to `docs/openapi.json`, where a test holds the service to it."""

import json
from pathlib import Path

from app.config import Settings
from app.main import create_app

if __name__ == "__main__":
    document = create_app(Settings.load(auth_token=["not-a-secret-but-long-enough"])).openapi()
    Path("docs/openapi.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
