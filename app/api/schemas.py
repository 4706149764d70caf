"""What routes take and give."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from app.config import MIB
from app.errors import InvalidRequest, TooLarge

MAX_TEXT_BYTES = MIB

DEMONSTRATION = "there, and true, if this is the bundled model, which knows generated pictures only"


def _text(value: str) -> str:
    """A text that can be embedded: not blank, and not beyond any sentence."""
    if not value.strip():
        raise InvalidRequest("The text is blank.")
    # A lone surrogate, which JSON can carry and UTF-8 can't, counts as what the tokenizer will put in its place.
    if len(value.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise TooLarge("The text has more than 1 MiB.")
    return value


Text = Annotated[StrictStr, AfterValidator(_text)]


class Body(BaseModel):
    """A request's body: nothing that isn't known."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class TextRequest(Body):
    """A text to embed."""

    query: Text = Field(examples=["a stormy sea at night"])


class ImageUrlRequest(Body):
    """An image to fetch and embed."""

    url: StrictStr = Field(
        examples=["https://upload.wikimedia.org/wikipedia/commons/4/47/PNG_transparency_demonstration_1.png"]
    )


class EmbeddingAnswer(BaseModel):
    """A unit vector and where it comes from; compare only vectors whose `space` is equal."""

    model_config = ConfigDict(protected_namespaces=())

    embedding: list[float] = Field(examples=[[0.0132, -0.0417, 0.0251]])
    dimensions: int = Field(examples=[512])
    model: str = Field(examples=["ViT-B-32"])
    pretrained: str = Field(examples=["laion2b_s34b_b79k"])
    device: str = Field(examples=["cpu"])
    space: str = Field(examples=["5f0c1b2a9d3e4f67"])


class TextEmbedding(EmbeddingAnswer):
    """A text's vector."""

    truncated: bool = Field(description="whether the text was longer than the model's context", examples=[False])


class ImageEmbedding(EmbeddingAnswer):
    """An image's vector, and what the image was."""

    sha256: str = Field(description="of the image's bytes", examples=["9f86d081884c7d659a2feaa0c55ad015" * 2])
    width: int = Field(description="as displayed", examples=[1536])
    height: int = Field(description="as displayed", examples=[1200])


class Banner(BaseModel):
    """Who answers here."""

    model_config = ConfigDict(protected_namespaces=())

    service: str = Field(examples=["tate-embeddings"])
    version: str = Field(examples=["0.1.0"])
    status: str = Field(examples=["healthy"])
    model: str = Field(examples=["ViT-B-32"])
    pretrained: str = Field(examples=["laion2b_s34b_b79k"])
    dimensions: int | None = Field(examples=[512])
    device: str | None = Field(examples=["cpu"])
    docs: str | None = Field(examples=["/docs"])
    demonstration: bool = Field(default=False, description=DEMONSTRATION)


class Health(BaseModel):
    """Whether this worker can embed; `engine` and what follows are null until the model is loaded."""

    model_config = ConfigDict(protected_namespaces=())

    status: Literal["healthy", "loading", "draining", "unhealthy"]
    model_loaded: bool
    text_model_loaded: bool
    image_model_loaded: bool
    device: str | None = Field(examples=["cpu"])
    engine: str | None = Field(examples=["openvino"])
    precision: str | None = Field(examples=["bfloat16"])
    space: str | None = Field(examples=["5f0c1b2a9d3e4f67"])
    demonstration: bool = Field(default=False, description=DEMONSTRATION)


class Alive(BaseModel):
    """The event loop turns."""

    status: Literal["alive"] = "alive"


class Problem(BaseModel):
    """What went wrong: `detail` for people, `code` for programs."""

    detail: str
    code: str
