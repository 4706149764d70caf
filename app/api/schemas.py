"""What routes take and give."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr
from pydantic_core import PydanticCustomError

from app.config import MIB
from app.errors import TooLarge

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
        raise PydanticCustomError("blank", "blank")
    # A lone surrogate, which JSON can carry and UTF-8 can't, counts as what the tokenizer will put in its place.
    if len(value.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise TooLarge("The text has more than 1 MiB.")
    return value


Text = Annotated[StrictStr, AfterValidator(_text), Field(json_schema_extra={"pattern": r"\S"})]


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


class SingleTextRequest(Body):
    """A text to embed."""

    text: Text = Field(examples=["a stormy sea at night"])


class TextsRequest(Body):
    """Texts to embed."""

    texts: list[Text] = Field(min_length=1, examples=[["a stormy sea at night", "two dogs on a beach"]])


class ImageUrlsRequest(Body):
    """Images to fetch and embed."""

    urls: list[StrictStr] = Field(min_length=1, examples=[[EXAMPLE_URL]])


class ImagesRequest(Body):
    """Images to embed, in the request itself."""

    images: list[StrictStr] = Field(
        min_length=1,
        description="each in base64 (standard or URL-safe), as a `data:` URI of base64, or an http(s) URL",
        examples=[[EXAMPLE_IMAGE]],
    )


class MixedRequest(Body):
    """Texts and images to embed into one space."""

    texts: list[Text] = Field(default=[], examples=[["a stormy sea at night"]])
    urls: list[StrictStr] = Field(default=[], examples=[[EXAMPLE_URL]])


class Origin(BaseModel):
    """Where vectors come from; compare only those whose `space` is equal."""

    model_config = ConfigDict(protected_namespaces=())

    dimensions: int = Field(examples=[512])
    model: str = Field(examples=["ViT-B-32"])
    pretrained: str = Field(examples=["laion2b_s34b_b79k"])
    device: str = Field(examples=["cpu"])
    space: str = Field(examples=["5f0c1b2a9d3e4f67"])


Vector = Annotated[list[float], Field(description="of length 1", examples=[[0.0132, -0.0417, 0.0251]])]


class TextEmbedding(Origin):
    """A text's vector."""

    embedding: Vector
    truncated: bool = Field(description="whether the text was longer than the model's context", examples=[False])


class ImageEmbedding(Origin):
    """An image's vector, and what the image was."""

    embedding: Vector
    sha256: str = Field(description="of the image's bytes", examples=["9f86d081884c7d659a2feaa0c55ad015" * 2])
    width: int = Field(description="as displayed", examples=[1536])
    height: int = Field(description="as displayed", examples=[1200])


class TextEmbeddings(Origin):
    """Texts' vectors, in the order of the texts."""

    embeddings: list[Vector]
    truncated: list[bool] = Field(description="of each, whether it was longer than the model's context")


class FailedItem(BaseModel):
    """An image of a list that has no vector, and why: `detail` for people, `code` for programs."""

    index: int = Field(description="its place in the request, from 0", examples=[1])
    url: str | None = Field(default=None, description="there, if it came as a URL", examples=[EXAMPLE_URL])
    code: str = Field(examples=["image_not_found"])
    detail: str = Field(examples=["The image's host answered with status 404."])


class ImagesSeen(Origin):
    """What became of a list of images. `indices` and the lists beside it have an entry for each that has a vector."""

    indices: list[int] = Field(description="which image of the request each vector belongs to", examples=[[0, 2]])
    failed: list[FailedItem]
    sha256: list[str] = Field(description="of the images' bytes")
    width: list[int] = Field(description="as displayed")
    height: list[int] = Field(description="as displayed")


class ImageEmbeddings(ImagesSeen):
    """Images' vectors, in the order of the images, but for those that failed."""

    embeddings: list[Vector]


class MixedEmbeddings(ImagesSeen):
    """Texts' and images' vectors in one space, each in the order of the request."""

    text_embeddings: list[Vector]
    truncated: list[bool] = Field(description="of each text, whether it was longer than the model's context")
    image_embeddings: list[Vector]


Status = Literal["healthy", "loading", "draining", "unhealthy"]


class Banner(BaseModel):
    """Who answers here."""

    model_config = ConfigDict(protected_namespaces=())

    service: str = Field(examples=["tate-embeddings"])
    version: str = Field(examples=["0.1.0"])
    status: Status
    model: str = Field(examples=["ViT-B-32"])
    pretrained: str = Field(examples=["laion2b_s34b_b79k"])
    dimensions: int | None = Field(examples=[512])
    device: str | None = Field(examples=["cpu"])
    docs: str | None = Field(examples=["/docs"])
    demonstration: bool = Field(default=False, description=DEMONSTRATION)


class Health(BaseModel):
    """Whether this worker can embed; `engine` and what follows are null until the model is loaded."""

    model_config = ConfigDict(protected_namespaces=())

    status: Status
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

    status: Literal["alive"]


class Problem(BaseModel):
    """What went wrong: `detail` for people, `code` for programs."""

    detail: str
    code: str
