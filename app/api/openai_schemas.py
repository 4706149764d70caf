"""What OpenAI's clients send and expect. Fields that aren't known here are theirs, and ignored."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from app.api.schemas import ImageRequest, ImageUrlRequest, Text, Vector


def _in_one_sentence(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One fault for all that may be wrong with it, instead of one for each thing that it might have been."""
    try:
        return validate(value)
    except ValidationError:
        raise PydanticCustomError("input", "none of the forms") from None


TokenIds = Annotated[list[StrictInt], Field(min_length=1)]
Item = Text | TokenIds | ImageUrlRequest | ImageRequest
Input = Annotated[Item | Annotated[list[Item], Field(min_length=1)], WrapValidator(_in_one_sentence)]


class EmbeddingsRequest(BaseModel):
    """Texts, token ids and images to embed; a list may mix them."""

    input: Input = Field(
        description="a text, the model's own token ids of one, an image (a `data:` URI, or an object with `image` or "
        "`url`), or a list of these",
        examples=["a stormy sea at night", ["a stormy sea at night", "two dogs on a beach"]],
    )
    model: StrictStr = Field(examples=["ViT-B-32"])
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="keep so many numbers of each vector, and bring it to length 1 again"
    )


class OpenAIEmbedding(BaseModel):
    """One vector: numbers, or base64 of them as little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: Vector | str


class Usage(BaseModel):
    """How many tokens the model has read."""

    prompt_tokens: int
    total_tokens: int


class OpenAIEmbeddings(BaseModel):
    """Vectors in the order of the input, and the space that they are of."""

    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str = Field(examples=["ViT-B-32"])
    usage: Usage
    space: str = Field(examples=["5f0c1b2a9d3e4f67"])


class OpenAIModel(BaseModel):
    """A model that is served."""

    id: str = Field(examples=["ViT-B-32"])
    object: Literal["model"]
    created: int = Field(description="when this worker started, in seconds since 1970")
    owned_by: str = Field(examples=["tate-embeddings"])


class OpenAIModels(BaseModel):
    """The models that are served: one."""

    object: Literal["list"]
    data: list[OpenAIModel]


# "requests" is what there were too many of.
OpenAIErrorType = Literal["invalid_request_error", "requests", "server_error"]


class OpenAIError(BaseModel):
    """What went wrong: `message` for people, `code` for programs, `param` for the part of the request at fault."""

    message: str
    type: OpenAIErrorType
    param: str | None
    code: str


class OpenAIProblem(BaseModel):
    """A failure as OpenAI's clients know it."""

    error: OpenAIError
