"""What is asked of the service: every kind of request there is, good and wrong ones, each with what must come back."""

import itertools
import json
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from app.commands.expectations import equal, having, ok, refused
from app.commands.instance import Answer
from app.config import DEMONSTRATION

from tests.endurance.forms import FORM, JSON, TOKEN, Judge, Question, form_of, head_of, in_base64
from tests.endurance.hosts import FAILURES, GOOD, MENDED, ImageHost
from tests.endurance.known import Known, judge_vector

FAILING_SHARE = 0.2
MOST_TEXTS, MOST_IMAGES = 12, 4
NO_BASE64 = "no base64!"
NO_IMAGE = b"no picture at all"


@dataclass(frozen=True)
class _Image:
    """An image in a question: the failure that must come of it, or else how what is said of it is judged."""

    failure: tuple[int, str] | None
    value: str = ""
    judge: Callable[[dict[str, Any]], None] = lambda _: None


class Questions:
    """Makes questions about what is known, by chance."""

    def __init__(self, known: Known, host: ImageHost, rng: Random, name: str) -> None:
        """`name` tells its questions' ids from those of others."""
        self._known = known
        self._host = host
        self._rng = rng
        self._ids = (f"{name}-{number}" for number in itertools.count())
        # How often each kind is asked.
        self._kinds: Mapping[Callable[[], Question], int] = {
            self.query: 40,
            self.picture_by_url: 18,
            self.picture_sent: 10,
            self.texts: 6,
            self.images: 5,
            self.mixed: 3,
            self.openai: 6,
            self.status: 4,
            self.wrong: 8,
        }

    def any(self) -> Question:
        """A question of any kind."""
        (make,) = self._rng.choices([*self._kinds], [*self._kinds.values()])
        return make()

    def query(self) -> Question:
        """A short query, as a search box sends it."""
        place = self._rng.randrange(len(self._known.texts))

        def judge(answer: Answer) -> None:
            body = self._of_this_model(answer)
            equal("truncated", body["truncated"], False)
            judge_vector(body["embedding"], self._known.vectors[place])

        return self._post("query", "/embed-text", {"query": self._known.texts[place]}, judge)

    def picture_by_url(self, behaviour: str | None = None) -> Question:
        """An image behind a URL, whose host may fail."""
        image = self._behind_url(behaviour or self._behaviour())
        if image.failure:
            return self._post("picture by url", "/embed-image", {"url": image.value}, refused(*image.failure))

        def judge(answer: Answer) -> None:
            image.judge(self._of_this_model(answer))

        return self._post("picture by url", "/embed-image", {"url": image.value}, judge, images=1)

    def slow_picture(self) -> Question:
        """An image whose host takes a while."""
        return self.picture_by_url("slow")

    def picture_sent(self) -> Question:
        """An image in the request itself: as a file of a form, as the body, in base64."""
        data, image = self._sent()

        def judge(answer: Answer) -> None:
            image.judge(self._of_this_model(answer))

        form = self._rng.choice(("file", "body", "base64", "data uri"))
        if form == "file":
            body, kind = form_of("file", [data]), FORM
            return self._ask("upload", "POST", "/embed-image", body, judge, kind, images=1)
        if form == "body":
            return self._ask("upload", "POST", "/embed-image", data, judge, "image/jpeg", images=1)
        text = in_base64(data) if form == "base64" else f"data:image/jpeg;base64,{in_base64(data)}"
        return self._post("base64", "/embed-image", {"image": text}, judge, images=1)

    def texts(self) -> Question:
        """A list of texts."""
        places = self._places()

        def judge(answer: Answer) -> None:
            body = self._of_this_model(answer)
            equal("truncated", body["truncated"], [False] * len(places))
            self._judge_texts(body["embeddings"], places)

        return self._post("texts", "/embed/text", {"texts": self._texts(places)}, judge)

    def images(self) -> Question:
        """A list of images: behind URLs, or in base64, or as files of a form."""
        form = self._rng.choice(("urls", "images", "files"))
        count = self._rng.randint(1, MOST_IMAGES)
        if form == "urls":
            images = [self._behind_url(self._behaviour()) for _ in range(count)]
            return self._post("images", "/embed/image", *self._list(form, images), images=count)
        sent = [self._sent() for _ in range(count)]
        images = [image for _, image in sent]
        place = self._rng.randrange(count)
        if form == "images":
            images[place] = _Image((400, "invalid_request"), NO_BASE64)
            return self._post("images", "/embed/image", *self._list(form, images), images=count)
        images[place] = _Image((422, "not_an_image"))
        files = [NO_IMAGE if number == place else data for number, (data, _) in enumerate(sent)]
        body, kind = form_of("files", files), FORM
        return self._ask("images", "POST", "/embed/image", body, self._list(form, images)[1], kind, images=count)

    def mixed(self) -> Question:
        """Texts and images behind URLs."""
        places = self._places()
        images = [self._behind_url(self._behaviour()) for _ in range(self._rng.randint(1, MOST_IMAGES))]

        def judge(answer: Answer) -> None:
            body = self._of_this_model(answer)
            self._judge_texts(body["text_embeddings"], places)
            _judge_images(body, body["image_embeddings"], images)

        body = {"texts": self._texts(places), "urls": [image.value for image in images]}
        return self._post("mixed", "/embed/mixed", body, judge, images=len(images))

    def openai(self) -> Question:
        """Texts and perhaps an image, as OpenAI's clients ask for their vectors."""
        places = self._places()
        encoding = self._rng.choice(("float", "base64"))
        expected = [self._known.vectors[place] for place in places]
        things: list[Any] = self._texts(places)
        with_image = self._rng.random() < 0.3
        if with_image:
            data, _ = self._sent()
            picture = next(each for each in self._known.pictures if data.startswith(each.data))
            things.append({"image": in_base64(data)})
            expected.append(picture.vector)

        def judge(answer: Answer) -> None:
            body = ok(answer)
            equal("index", [item["index"] for item in body["data"]], [*range(len(things))])
            for item, vector in zip(body["data"], expected, strict=True):
                found = item["embedding"]
                judge_vector(np.frombuffer(b64decode(found), "<f4") if encoding == "base64" else found, vector)

        body = {"model": DEMONSTRATION, "input": things, "encoding_format": encoding}
        return self._post("openai", "/v1/embeddings", body, judge, images=int(with_image))

    def status(self) -> Question:
        """How the service is."""
        path, expected = self._rng.choice((
            ("/health", {"status": "healthy", "space": self._known.space}),
            ("/live", {"status": "alive"}),
            ("/", {"service": "tate-embeddings", "model": DEMONSTRATION}),
        ))  # fmt: skip
        return self._ask("status", "GET", path, b"", having(**expected))

    def wrong(self) -> Question:
        """A request that must be refused."""
        kind, path = "wrong", self._rng.choice(("/embed-text", "/embed-image", "/embed/text", "/v1/embeddings"))
        openai = path.startswith("/v1/")
        invalid = refused(
            400 if path in ("/embed/text", "/v1/embeddings") else 422, "invalid_request", as_openai=openai
        )
        match self._rng.randrange(6):
            case 0:
                return self._post(kind, path, {"nonsense": 1, "model": DEMONSTRATION}, invalid)
            case 1:
                return self._ask(kind, "POST", path, b'{"query": ', invalid)
            case 2:
                unauthorized = refused(401, "unauthorized", as_openai=openai)
                return self._ask(kind, "POST", path, b"{}", unauthorized, token="a-wrong-token")
            case 3:
                unsupported = refused(415, "unsupported_media_type", as_openai=openai)
                return self._ask(kind, "POST", path, b"{}", unsupported, "text/plain")
            case 4:
                return self._ask(kind, "GET", path, b"", refused(405, "method_not_allowed", as_openai=openai))
            case _:
                return self._ask(kind, "POST", "/embed-image", NO_IMAGE, refused(422, "not_an_image"), "image/png")

    def _behaviour(self) -> str:
        if self._rng.random() < FAILING_SHARE:
            return self._rng.choice([*FAILURES])
        return GOOD if self._rng.random() < 1 - FAILING_SHARE else self._rng.choice(MENDED)

    def _behind_url(self, behaviour: str) -> _Image:
        place = self._rng.randrange(len(self._known.pictures))
        url, number = self._host.url(place, behaviour)
        picture = self._known.pictures[place]
        return _Image(FAILURES.get(behaviour), url, lambda answer: picture.judge(answer, number))

    def _sent(self) -> tuple[bytes, _Image]:
        picture = self._rng.choice(self._known.pictures)
        number = self._rng.randrange(10**9)
        data = picture.variant(number)
        return data, _Image(None, in_base64(data), lambda answer: picture.judge(answer, number))

    def _list(self, form: str, images: Sequence[_Image]) -> tuple[dict[str, Any], Judge]:
        """The body and the judge of a list of images."""

        def judge(answer: Answer) -> None:
            body = self._of_this_model(answer)
            _judge_images(body, body["embeddings"], images)

        return {form: [image.value for image in images]}, judge

    def _places(self) -> list[int]:
        return [self._rng.randrange(len(self._known.texts)) for _ in range(self._rng.randint(1, MOST_TEXTS))]

    def _texts(self, places: Sequence[int]) -> list[str]:
        return [self._known.texts[place] for place in places]

    def _judge_texts(self, vectors: Sequence[Any], places: Sequence[int]) -> None:
        equal("the number of vectors", len(vectors), len(places))
        for vector, place in zip(vectors, places, strict=True):
            judge_vector(vector, self._known.vectors[place])

    def _of_this_model(self, answer: Answer) -> Any:
        body = ok(answer)
        equal("space", body["space"], self._known.space)
        return body

    def _post(self, kind: str, path: str, body: Any, judge: Judge, *, images: int = 0) -> Question:
        return self._ask(kind, "POST", path, json.dumps(body).encode(), judge, images=images)

    def _ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes,
        judge: Judge,
        content_type: str = JSON,
        *,
        token: str = TOKEN,
        images: int = 0,
    ) -> Question:
        name = next(self._ids)
        return Question(kind, name, head_of(method, path, body, content_type, token, name), body, judge, images)


def _judge_images(body: dict[str, Any], vectors: Sequence[Any], images: Sequence[_Image]) -> None:
    """Those that are well come in order, with the places that they had; the others are said to have failed, and why."""
    failing = {place: image.failure[1] for place, image in enumerate(images) if image.failure}
    well = [place for place in range(len(images)) if place not in failing]
    equal("failed", {item["index"]: item["code"] for item in body["failed"]}, failing)
    equal("indices", body["indices"], well)
    described = zip(well, vectors, body["sha256"], body["width"], body["height"], strict=True)
    for place, vector, sha256, width, height in described:
        images[place].judge({"embedding": vector, "sha256": sha256, "width": width, "height": height})
