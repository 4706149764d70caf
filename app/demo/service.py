"""The service as a demonstration: the bundled model on loopback, and the gallery's pictures beside it."""

import json
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from app.config import DEMONSTRATION, Settings
from app.demo.gallery import IMAGES, Gallery

HOST = "127.0.0.1"
FOLDER = "demo-gallery"
SHOWN_AT = "artworks"

INSTRUCTIONS = """
  {artworks} generated artworks in {folder}
  The service:  {url}/docs
  The token:    {token}

In another terminal, find pictures by words, by other words, and by a picture:

{by_words}

{by_other_words}

{by_picture}

Ctrl-C ends it.
"""


def demonstrating() -> Settings:
    """The environment's settings, but the bundled model, a token that may be shown, and loopback only.

    On loopback lie the gallery's own pictures, so that image URLs may lead there.
    """
    return Settings.load(
        model_name=DEMONSTRATION,
        pretrained="bundled",
        auth_token=("demonstration_token",),
        host=HOST,
        allow_private_networks=True,
    )


def folder_of(settings: Settings) -> Path:
    """Where the gallery lies, unless someone says otherwise."""
    return settings.model_cache_dir / FOLDER


def with_pictures(app: FastAPI, gallery: Gallery) -> FastAPI:
    """An application that shows the gallery's pictures too."""
    app.mount(f"/{SHOWN_AT}", StaticFiles(directory=gallery.folder / IMAGES))
    return app


def instructions(settings: Settings, gallery: Gallery, search: str) -> str:
    """What to type to see something."""
    url = f"http://localhost:{settings.port}"
    picture = f"{url}/{SHOWN_AT}/{Path(gallery.labels[0]['path']).name}"

    def ask(route: str, **body: str) -> str:
        headers = f'-H "Authorization: Bearer {settings.auth_token[0]}" -H "Content-Type: application/json"'
        return f"curl -s {url}/{route} {headers} -d '{json.dumps(body)}' | {search}"

    return INSTRUCTIONS.format(
        artworks=len(gallery.labels),
        folder=gallery.folder,
        url=url,
        token=settings.auth_token[0],
        by_words=ask("embed-text", query="a stormy sea at night"),
        by_other_words=ask("embed-text", query="portrait of a woman in a red dress"),
        by_picture=ask("embed-image", url=picture),
    )
