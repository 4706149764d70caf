"""Writes the OpenAPI document to `docs/openapi.json`, where a test holds the service to it."""

import json
from pathlib import Path

from app.config import Settings
from app.main import create_app

if __name__ == "__main__":
    # With all routes that there are. Nothing is looked for in the index, so it needn't be there.
    settings = Settings.load(auth_token=["not-a-secret-but-long-enough"], index_url="faiss:///nowhere")
    document = create_app(settings).openapi()
    Path("docs/openapi.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
