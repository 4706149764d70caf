"""The straightforward service: what one would write in an afternoon from open_clip's README.

It is what ours is measured against, so it is honest and simple, and it stays as it is.
"""

import io
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import open_clip
import torch
from fastapi import Depends, FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from PIL import Image
from pydantic import BaseModel

bearer = HTTPBearer()


class TextRequest(BaseModel):
    """A text to embed."""

    query: str


class ImageRequest(BaseModel):
    """An image to embed."""

    url: str


def check_token(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
    """Let in who knows the token."""
    if not secrets.compare_digest(credentials.credentials, os.environ["AUTH_TOKEN"]):
        raise HTTPException(status_code=401, detail="wrong token")


def create_app() -> FastAPI:
    """The application, with its model loaded: `MODEL_NAME` and `PRETRAINED` of the environment."""
    name = os.environ["MODEL_NAME"]
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=os.environ["PRETRAINED"])
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    client = httpx.AsyncClient()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=lifespan, dependencies=[Depends(check_token)])

    def answer(features: torch.Tensor) -> dict[str, Any]:
        features /= features.norm(dim=-1, keepdim=True)
        return {"embedding": features[0].tolist()}

    @app.post("/embed-text")
    def embed_text(request: TextRequest) -> dict[str, Any]:
        with torch.inference_mode():
            return answer(model.encode_text(tokenizer([request.query])))

    def encode_image(data: bytes) -> dict[str, Any]:
        image = preprocess(Image.open(io.BytesIO(data))).unsqueeze(0)
        with torch.inference_mode():
            return answer(model.encode_image(image))

    @app.post("/embed-image")
    async def embed_image(request: ImageRequest) -> dict[str, Any]:
        response = await client.get(request.url)
        response.raise_for_status()
        return await run_in_threadpool(encode_image, response.content)

    return app
