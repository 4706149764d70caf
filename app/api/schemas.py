"""What routes take and give."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StrictStr, Tag, TypeAdapter

from app.config import MIB
from app.errors import InvalidRequest, TooLarge

MAX_TEXT_BYTES = MIB

DEMONSTRATION = "there, and true, if this is the bundled model, which knows generated pictures only"
EXAMPLE_URL = "https://upload.wikimedia.org/wikipedia/commons/4/47/PNG_transparency_demonstration_1.png"
EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAADCAIAAAA7ljmRAAAAHElEQVR42mO0SqhggAEmCLUm5BGCE7JGjoGBAQBPcgQYNc8/uwAAAABJRU5E"
    "rkJggg=="
)


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

    url: StrictStr = Field(examples=[EXAMPLE_URL])


class ImageRequest(Body):
    """An image to embed, in the request itself."""

    image: StrictStr = Field(
        description="base64 (standard or URL-safe), a `data:` URI of base64, or an http(s) URL",
        examples=[EXAMPLE_IMAGE],
    )


def _alternative(body: Any) -> str:
    """Which of the two an image comes as."""
    if not isinstance(body, dict):
        return "url"  # whose validation says that an object is needed
    named = [name for name in ("url", "image") if name in body]
    if len(named) != 1:
        raise InvalidRequest("Send exactly one of 'url' and 'image'.")
    return named[0]


IMAGE_ALTERNATIVES: TypeAdapter[ImageUrlRequest | ImageRequest] = TypeAdapter(
    Annotated[
        Annotated[ImageUrlRequest, Tag("url")] | Annotated[ImageRequest, Tag("image")], Discriminator(_alternative)
    ]
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
