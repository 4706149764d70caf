"""Vectors as JSON: printed from the arrays themselves, each number as short as float32 allows."""

from typing import Any

import orjson
from fastapi import Response

from app.api.services import Services


class Answer(Response):
    """JSON in which NumPy's arrays may stand."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def with_origin(services: Services, **answer: Any) -> Answer:
    """An answer with what every vector comes with: of which model it is, and in which space."""
    model = services.embedder.model
    return Answer(
        {
            **answer,
            "dimensions": model.dimensions,
            "model": services.settings.model_name,
            "pretrained": services.settings.pretrained,
            "device": model.engine.device,
            "space": model.space,
        }
    )
