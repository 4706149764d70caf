"""What the routes of the index take and give."""

import math
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    FailFast,
    Field,
    PlainValidator,
    StrictStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from app.api.schemas import EXAMPLE_IMAGE, EXAMPLE_URL, Body, Origin, Text
from app.search.fields import MOST_DISTINCT, MOST_FIELDS, MOST_VALUES
from app.search.store import DEEPEST, MAX_ID_BYTES, is_id

MOST_RESULTS = 1000
MOST_QUERIES = 16
MOST_ITEMS = 1000

# As much of an id as a description can say.
NOT_BLANK: dict[str, Any] = {"pattern": r"\S"}

EXAMPLE_ID = "artwork-1842"
EXAMPLE_METADATA = {"title": "Snow Storm", "year": 1842, "tags": ["sea", "storm"]}


def _bounded(kind: str, least: float, most: float) -> WrapValidator:
    """One fault for all that may be wrong with a number, which says its bounds."""

    def check(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise PydanticCustomError(kind, "out of bounds", {"least": least, "most": most}) from None

    return WrapValidator(check)


def _id(value: str) -> str:
    if not is_id(value):
        raise PydanticCustomError("id", "no id", {"most": MAX_ID_BYTES})
    return value


def _weight(value: float) -> float:
    if not math.isfinite(value) or not value:
        raise PydanticCustomError("weight", "no weight")
    return value


ItemId = Annotated[
    StrictStr,
    AfterValidator(_id),
    Field(description="of an item of the index", json_schema_extra=NOT_BLANK, examples=[EXAMPLE_ID]),
]
ImageUrl = Annotated[StrictStr, Field(description="where an image is", examples=[EXAMPLE_URL])]
Image = Annotated[
    StrictStr,
    Field(
        description="base64 (standard or URL-safe), a `data:` URI of base64, or an http(s) URL",
        examples=[EXAMPLE_IMAGE],
    ),
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


Embedding = Annotated[
    list[Number],
    FailFast(),
    Field(description="of the served model; brought to length 1", examples=[[0.0132, -0.0417, 0.0251]]),
]
Space = Annotated[
    StrictStr | None,
    Field(description="the space that the vector must be of, for whoever wants to be sure"),
]


class SearchOptions(Body):
    """How many results, and which."""

    k: Annotated[int, Field(strict=True, ge=1, le=MOST_RESULTS), _bounded("whole_number", 1, MOST_RESULTS)] = Field(
        default=10, description="how many results, at most; 10 if it's left out", examples=[10]
    )
    offset: Annotated[int, Field(strict=True, ge=0, le=DEEPEST), _bounded("whole_number", 0, DEEPEST)] = Field(
        default=0, description=f"how many of the best are passed over; with `k` at most {DEEPEST}", examples=[0]
    )
    min_score: Annotated[float, Field(strict=True, ge=-1, le=1), _bounded("number", -1, 1)] | None = Field(
        default=None, description="the lowest cosine that still counts", examples=[0.2]
    )
    filter: dict[str, Any] | None = Field(
        default=None,
        description="what must be so of an item's metadata: of each field a value, a list of which one is enough, or "
        "bounds (`gte`, `lte`)",
        examples=[{"tags": ["sea", "river"], "year": {"gte": 1800, "lte": 1850}}],
    )


class SearchByText(SearchOptions):
    """Items near to a text."""

    query: Text = Field(examples=["a stormy sea at night"])


class SearchByUrl(SearchOptions):
    """Items near to an image that is fetched."""

    url: ImageUrl


class SearchByImage(SearchOptions):
    """Items near to an image in the request itself."""

    image: Image


class SearchByItem(SearchOptions):
    """Items near to another item, without that one."""

    id: ItemId


class SearchByEmbedding(SearchOptions):
    """Items near to a vector that was embedded before."""

    embedding: Embedding
    space: Space = None


class Query(Body):
    """One of several things to search for together."""

    weight: Annotated[Number, AfterValidator(_weight)] = Field(
        default=1.0,
        description="how much it counts, beside the others; 1 if it's left out. Below 0: away from it. Never 0",
        examples=[-0.5],
    )


class TextQuery(Query):
    """Near to a text."""

    text: Text = Field(examples=["a stormy sea at night"])


class UrlQuery(Query):
    """Near to an image that is fetched."""

    url: ImageUrl


class ImageQuery(Query):
    """Near to an image in the request itself."""

    image: Image


class ItemQuery(Query):
    """Near to an item, which isn't among the results."""

    id: ItemId


class EmbeddingQuery(Query):
    """Near to a vector that was embedded before."""

    embedding: Embedding
    space: Space = None


AnyQuery = TextQuery | UrlQuery | ImageQuery | ItemQuery | EmbeddingQuery
QUERIES: dict[str, type[AnyQuery]] = {
    "text": TextQuery,
    "url": UrlQuery,
    "image": ImageQuery,
    "id": ItemQuery,
    "embedding": EmbeddingQuery,
}


def _query(value: Any) -> AnyQuery:
    """A query of the one form whose field it has."""
    named = [name for name in QUERIES if isinstance(value, dict) and name in value]
    if len(named) != 1:
        raise PydanticCustomError("query", "no query")
    return QUERIES[named[0]].model_validate(value)


class SearchByQueries(SearchOptions):
    """Items near to some things and far from others."""

    queries: Annotated[
        list[Annotated[AnyQuery, PlainValidator(_query, json_schema_input_type=AnyQuery)]], FailFast()
    ] = Field(
        min_length=1,
        max_length=MOST_QUERIES,
        examples=[[{"text": "a stormy sea at night"}, {"text": "ships", "weight": -0.5}]],
    )


class Result(BaseModel):
    """An item, and the cosine between its vector and what was searched for."""

    id: str = Field(examples=[EXAMPLE_ID])
    score: float = Field(examples=[0.3127])
    metadata: dict[str, Any] = Field(examples=[EXAMPLE_METADATA])


class SearchResults(Origin):
    """The nearest items, the nearest first."""

    results: list[Result]
    took_ms: float = Field(description="how long the index took", examples=[2.7])
    truncated: bool = Field(
        description="whether a text that was searched for was longer than the model's context", examples=[False]
    )


class IndexItem(Body):
    """Something to keep under an id, in the place of what may be there."""

    id: ItemId
    space: Space = None
    metadata: dict[str, Any] = Field(
        default={}, description="what results show, and filters look at: up to 64 KiB", examples=[EXAMPLE_METADATA]
    )


class EmbeddedItem(IndexItem):
    """A vector that was embedded before."""

    embedding: Embedding


class UrlItem(IndexItem):
    """An image to fetch and embed."""

    url: ImageUrl


class ImageItem(IndexItem):
    """An image to embed, in the request itself."""

    image: Image


AnyItem = EmbeddedItem | UrlItem | ImageItem


def _as_it_is(value: Any) -> Any:
    return value


class IngestRequest(Body):
    """Items to put into the index. One that can't be used doesn't fail the others."""

    # Each is looked at for itself, later.
    items: list[Annotated[Any, PlainValidator(_as_it_is, json_schema_input_type=AnyItem)]] = Field(min_length=1)


class FailedIngest(BaseModel):
    """An item that was not put in, and why: `detail` for people, `code` for programs."""

    index: int = Field(description="its place in the request, from 0", examples=[1])
    id: str | None = Field(default=None, description="there, if it's one that an item can have", examples=[EXAMPLE_ID])
    code: str = Field(examples=["image_not_found"])
    detail: str = Field(examples=["The image's host answered with status 404."])


class Ingested(BaseModel):
    """How many items were put in, and which were not."""

    ingested: int = Field(examples=[2])
    failed: list[FailedIngest]
    space: str = Field(examples=["5f0c1b2a9d3e4f67"])


class Deleted(BaseModel):
    """How many items there were to take out: one or none."""

    deleted: int = Field(examples=[1])


class CommonValue(BaseModel):
    """A value of a field, and how many items have it."""

    value: StrictStr | bool | float = Field(examples=["sea"])
    count: int = Field(examples=[41])


class IndexField(BaseModel):
    """What there is in a field of the items' metadata that filters can look at."""

    values: list[CommonValue] = Field(
        description=f"the most common, up to {MOST_VALUES}; none of them where there are more than {MOST_DISTINCT}"
    )
    distinct: int = Field(
        description=f"how many different values there are; {MOST_DISTINCT + 1} is more than {MOST_DISTINCT}",
        examples=[8],
    )
    lowest: float | SkipJsonSchema[None] = Field(
        default=None, description="of its numbers; left out where it has none", examples=[1871]
    )
    highest: float | SkipJsonSchema[None] = Field(
        default=None, description="of its numbers; left out where it has none", examples=[1968]
    )


class AboutIndex(BaseModel):
    """What the index is."""

    count: int = Field(description="how many items it has", examples=[320])
    space: str | None = Field(description="that of its vectors; null of an empty index", examples=["5f0c1b2a9d3e4f67"])
    dimensions: int | None = Field(description="of its vectors; null of an empty index", examples=[512])
    kind: str = Field(description="what keeps it", examples=["faiss"])
    model: str = Field(description="the model that is served", examples=["ViT-B-32"])
    pretrained: str = Field(examples=["laion2b_s34b_b79k"])
    fields: dict[str, IndexField] = Field(
        description=f"what filters can be made of, up to {MOST_FIELDS} fields; it may be half a minute old"
    )


class SomeItems(Body):
    """How many items are wanted."""

    limit: Annotated[int, Field(strict=True, ge=1, le=MOST_ITEMS), _bounded("whole_number", 1, MOST_ITEMS)] = Field(
        default=50, description="how many, at most; 50 if it's left out", examples=[50]
    )


class KeptItem(BaseModel):
    """An item, and what was said of it."""

    id: str = Field(examples=[EXAMPLE_ID])
    metadata: dict[str, Any] = Field(examples=[EXAMPLE_METADATA])


class KeptItems(BaseModel):
    """Some items of the index."""

    items: list[KeptItem]
