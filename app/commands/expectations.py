"""What an instance's answers must be. Each expectation takes an answer, and gives the dimensions that it has seen."""

import hashlib
import io
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.commands.instance import Answer, Surprise

Expectation = Callable[[Answer], int | None]

LENGTH_TOLERANCE = 1e-5
# By how much a cosine may be beyond 1.
ROUNDING = 1e-5
# The lowest cosine between vectors of one thing, which may have been computed in different company.
SAME = {"float32": 0.99999}
SAME_IN_HALF_PRECISION = 0.9995


class Vectors:
    """What holds for all vectors of one instance: model and space, length 1, and equal vectors for equal things."""

    def __init__(self, health: Mapping[str, Any], banner: Mapping[str, Any]) -> None:
        self.dimensions: int = banner["dimensions"]
        if not isinstance(self.dimensions, int) or self.dimensions < 1:
            raise Surprise(f"/ says that vectors have {self.dimensions!r} dimensions")
        self.model: str = banner["model"]
        self._origin = {name: banner[name] for name in ("dimensions", "model", "pretrained", "device")}
        self._origin["space"] = health["space"]
        self._same = SAME.get(health["precision"], SAME_IN_HALF_PRECISION)
        self._first: dict[str | bytes, NDArray[np.float64]] = {}

    def text(self, text: str, *, truncated: bool = False) -> Expectation:
        """The vector of a text."""

        def judge(answer: Answer) -> int:
            body = self._of_here(answer)
            equal("truncated", body["truncated"], truncated)
            return self._vector(text, body["embedding"])

        return judge

    def texts(self, *texts: str) -> Expectation:
        """The vectors of a list of texts."""

        def judge(answer: Answer) -> int:
            body = self._of_here(answer)
            equal("truncated", body["truncated"], [False] * len(texts))
            return self._vectors(texts, body["embeddings"])

        return judge

    def image(self, image: bytes | str) -> Expectation:
        """The vector of an image: its bytes, or the URL where it is."""

        def judge(answer: Answer) -> int:
            body = self._of_here(answer)
            _seen([image], [body["sha256"]], [body["width"]], [body["height"]])
            return self._vector(image, body["embedding"])

        return judge

    def images(
        self,
        images: Mapping[int, bytes | str],
        failed: Mapping[int, str],
        texts: Sequence[str] | None = None,
    ) -> Expectation:
        """The vectors of a list of images by their places, and the codes of those that fail; texts if it is mixed."""

        def judge(answer: Answer) -> int:
            body = self._of_here(answer)
            equal("indices", body["indices"], [*images])
            equal("failed", {item["index"]: item["code"] for item in body["failed"]}, dict(failed))
            if not all(item["detail"] for item in body["failed"]):
                raise Surprise("an item failed without a detail")
            _seen([*images.values()], body["sha256"], body["width"], body["height"])
            if texts is None:
                return self._vectors([*images.values()], body["embeddings"])
            equal("truncated", body["truncated"], [False] * len(texts))
            self._vectors(texts, body["text_embeddings"])
            return self._vectors([*images.values()], body["image_embeddings"])

        return judge

    def openai(self, *things: str | bytes, encoded: bool = False, dimensions: int | None = None) -> Expectation:
        """The vectors of things in OpenAI's form, as base64 or as numbers, and perhaps cut."""

        def judge(answer: Answer) -> int:
            body = ok(answer)
            for name in ("model", "space"):
                equal(name, body[name], self._origin[name])
            equal("object", body["object"], "list")
            equal("index", [item["index"] for item in body["data"]], [*range(len(things))])
            if not 0 <= body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"]:
                raise Surprise(f"usage is {body['usage']}")
            vectors = [item["embedding"] for item in body["data"]]
            if encoded:
                vectors = [np.frombuffer(b64decode(vector, validate=True), "<f4") for vector in vectors]
            return self._vectors(things, vectors, dimensions)

        return judge

    def found(self, most: int) -> Expectation:
        """So many items of an index at most, the nearest first."""

        def judge(answer: Answer) -> None:
            body = self._of_here(answer)
            equal("truncated", body["truncated"], False)
            scores = [item["score"] for item in body["results"]]
            if len(scores) > most or len({item["id"] for item in body["results"]}) != len(scores):
                raise Surprise(f"more than {most} results, or one of them twice")
            if scores != sorted(scores, reverse=True) or not all(abs(score) <= 1 + ROUNDING for score in scores):
                raise Surprise(f"scores are {scores}"[:300])
            if body["took_ms"] < 0 or not all(isinstance(item["metadata"], dict) for item in body["results"]):
                raise Surprise("a search that took no time, or an item without metadata")

        return judge

    def index(self, answer: Answer) -> None:
        """What an index is, and what there is in its fields."""
        body = ok(answer)
        for name in ("model", "pretrained"):
            equal(name, body[name], self._origin[name])
        if not body["kind"] or body["count"] < 0:
            raise Surprise(f"an index of kind {body['kind']!r} with {body['count']!r} items")
        described = (body["space"] is not None, body["dimensions"] is not None)
        if not all(described) and (any(described) or body["count"] or body["fields"]):
            raise Surprise("an index that isn't empty, without a space or dimensions")
        for name, field in body["fields"].items():
            counts = [value["count"] for value in field["values"]]
            if counts != sorted(counts, reverse=True) or len(counts) > field["distinct"]:
                raise Surprise(f"of the field '{name}' there are {field['distinct']} values, and counts are {counts}")

    def _of_here(self, answer: Answer) -> Any:
        body = ok(answer)
        for name, value in self._origin.items():
            equal(name, body[name], value)
        return body

    def _vectors(self, things: Sequence[str | bytes], vectors: Sequence[Any], dimensions: int | None = None) -> int:
        equal("the number of vectors", len(vectors), len(things))
        for thing, vector in zip(things, vectors, strict=True):
            self._vector(thing, vector, dimensions)
        return dimensions or self.dimensions

    def _vector(self, thing: str | bytes, numbers: Any, dimensions: int | None = None) -> int:
        vector = np.asarray(numbers, np.float64)
        equal("the vector's shape", vector.shape, (dimensions or self.dimensions,))
        length = np.linalg.norm(vector)
        if not abs(length - 1) <= LENGTH_TOLERANCE:
            raise Surprise(f"a vector of length {length:.6f}")
        if dimensions is None:
            self._first.setdefault(thing, vector)
        first = self._first[thing][:dimensions]
        cosine = vector @ first / np.linalg.norm(first)
        if not cosine >= self._same:
            raise Surprise(f"another vector than before of the same thing: their cosine is {cosine:.6f}")
        others = [other for known, other in self._first.items() if known != thing]
        if dimensions is None and any(vector @ other >= self._same for other in others):
            raise Surprise("the same vector as of another thing")
        return len(vector)


def ok(answer: Answer) -> Any:
    """The body of an answer that must be 200."""
    if answer.status != 200:
        raise Surprise(f"status {answer.status} instead of 200: {str(answer.body)[:200]}")
    return answer.body


def having(**fields: Any) -> Expectation:
    """200 with these fields."""

    def judge(answer: Answer) -> None:
        body = ok(answer)
        for name, value in fields.items():
            equal(name, body[name], value)

    return judge


def page(answer: Answer) -> None:
    """200 with something to read."""
    ok(answer)


def some_items(most: int) -> Expectation:
    """So many items of an index at most."""

    def judge(answer: Answer) -> None:
        items = ok(answer)["items"]
        if len(items) > most or len({item["id"] for item in items}) != len(items):
            raise Surprise(f"more than {most} items, or one of them twice")
        if not all(isinstance(item["metadata"], dict) for item in items):
            raise Surprise("an item without metadata")

    return judge


def refused(
    status: int, code: str, *, as_openai: bool = False, headers: Mapping[str, str] = MappingProxyType({})
) -> Expectation:
    """A failure in our form or in OpenAI's, with these headers."""

    def judge(answer: Answer) -> None:
        equal("status", answer.status, status)
        if as_openai:
            equal("the error's form", set(answer.body), {"error"})
            error, detail = answer.body["error"], "message"
            equal("the error's form", set(error), {"message", "type", "param", "code"})
        else:
            error, detail = answer.body, "detail"
            equal("the error's form", set(error), {"detail", "code"})
        equal("code", error["code"], code)
        if not isinstance(error[detail], str) or not error[detail]:
            raise Surprise(f"{detail} is {error[detail]!r}")
        for name, value in headers.items():
            equal(name, answer.headers.get(name), value)

    return judge


def equal(what: str, found: Any, expected: Any) -> None:
    """Compare.

    Raises:
        Surprise: they differ.
    """
    if found != expected:
        raise Surprise(f"{what} is {found!r} instead of {expected!r}"[:300])


def _seen(images: Sequence[bytes | str], digests: Sequence[str], widths: Sequence[int], heights: Sequence[int]) -> None:
    """What an answer says of images beside their vectors. Of an image behind a URL only the instance knows more."""
    for image, *described in zip(images, digests, widths, heights, strict=True):
        if isinstance(image, bytes):
            with Image.open(io.BytesIO(image)) as picture:
                equal("sha256, width, height", described, [hashlib.sha256(image).hexdigest(), *picture.size])
