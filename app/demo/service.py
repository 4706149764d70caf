"""The service as a demonstration: the bundled model on loopback, with the gallery as its index and its pictures."""

import json
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from app.config import DEMONSTRATION, Settings
from app.demo.gallery import IMAGES
from app.search.opening import in_folder

HOST = "127.0.0.1"
FOLDER = "demo-gallery"
SHOWN_AT = "artworks"
TITLE = "The painted collection"
EXAMPLES = ("a stormy sea at night", "a red still life", "mountains in winter", "a mosaic of a woman", "blue abstract")
RESULTS = 3

INSTRUCTIONS = """
  {artworks} generated artworks in {folder}

  Search them:  {url}

  The API:      {url}/docs
  The token:    {token}

In another terminal, find pictures by words, by other words, and by a picture:

{by_words}

{by_other_words}

{by_picture}

Or without the service:

{without_service}

Ctrl-C ends it.
"""


def demonstrating(folder: Path | None = None) -> Settings:
    """The environment's settings, but the bundled model, a token that may be shown, and loopback only.

    On loopback lie the gallery's own pictures, so that image URLs may lead there. What is searched is the gallery in
    a folder, which lies in `MODEL_CACHE_DIR` unless someone says otherwise.
    """
    settings = Settings.load(
        model_name=DEMONSTRATION,
        pretrained="bundled",
        auth_token=("demonstration_token",),
        host=HOST,
        allow_private_networks=True,
        gallery_access="public",
        gallery_title=TITLE,
        gallery_examples=EXAMPLES,
    )
    return settings.model_copy(update={"index_url": in_folder(folder or folder_of(settings))})


def folder_of(settings: Settings) -> Path:
    """Where the gallery lies, unless someone says otherwise."""
    return settings.model_cache_dir / FOLDER


def with_pictures(app: FastAPI, folder: Path) -> FastAPI:
    """An application that shows the pictures of the gallery in a folder too."""
    app.mount(f"/{SHOWN_AT}", StaticFiles(directory=folder / IMAGES))
    return app


def instructions(settings: Settings, folder: Path, without_service: str) -> str:
    """What to type to see something of the gallery in a folder, `without_service` among it."""
    url = f"http://localhost:{settings.port}"
    pictures = sorted((folder / IMAGES).iterdir())

    def ask(**sought: str) -> str:
        headers = f'-H "Authorization: Bearer {settings.auth_token[0]}" -H "Content-Type: application/json"'
        body = json.dumps({**sought, "k": RESULTS})
        return f"curl -s {url}/search {headers} -d '{body}' | python3 -m json.tool"

    return INSTRUCTIONS.format(
        artworks=len(pictures),
        folder=folder,
        url=url,
        token=settings.auth_token[0],
        by_words=ask(query="a stormy sea at night"),
        by_other_words=ask(query="portrait of a woman in a red dress"),
        by_picture=ask(url=f"{url}/{SHOWN_AT}/{pictures[0].name}"),
        without_service=without_service,
    )
