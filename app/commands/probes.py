"""The calls of the smoke test. A live instance keeps what it has: nothing is put into an index, or taken out of it."""

import io
import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.commands.expectations import Expectation, Vectors, equal, having, ok, page, refused, some_items
from app.commands.instance import Answer, Surprise, bearer

SEA, DOGS = "a stormy sea at night", "two dogs on a beach"
# Longer than any model reads.
LONG = "a stormy sea " * 2000
FORBIDDEN = "ftp://images.example.org/painting.png"
NO_BASE64 = "this is no base64!"
SERVICE = "tate-embeddings"
REQUEST_ID = "tate-embeddings-check"
WRONG = bearer("not-the-token-of-any-instance")
# Which may want a token of its own.
INGEST = "/ingest"
# What no index has: it is asked for, and deleted.
NO_ITEM = f"check-{secrets.token_hex(4)}"
OF_NO_ITEM = f"/items/{NO_ITEM}"


@dataclass(frozen=True)
class Probe:
    """One call, and what must come of it; `request` is in httpx's words."""

    method: str
    path: str
    what: str
    expect: Expectation
    request: dict[str, Any]


def probes(vectors: Vectors, banner: dict[str, Any], image_url: str | None, *, searches: bool) -> Iterator[Probe]:
    """Every call that is made of an instance with this banner, which may have an index to search."""
    yield from _open_to_all(banner)
    yield _get("/metrics", "metrics", _unless_for_others(page))
    yield from _texts(vectors)
    yield from _images(vectors)
    yield from _openai(vectors)
    if searches:
        yield from _index(vectors)
    if image_url:
        yield from _behind_urls(vectors, image_url)
    yield from _refusals(vectors, searches=searches)


def _open_to_all(banner: dict[str, Any]) -> Iterator[Probe]:
    here = {name: banner[name] for name in ("model", "pretrained", "dimensions")}
    yield _get("/", "the banner", having(service=SERVICE, status="healthy", **here), auth=None)
    loaded = {"model_loaded": True, "text_model_loaded": True, "image_model_loaded": True}
    yield _get("/health", "readiness", having(status="healthy", **loaded), auth=None)
    yield _get("/live", "liveness", having(status="alive"), auth=None)
    for path in ("/docs", "/redoc", "/openapi.json"):
        expect = page if banner.get("docs") else refused(404, "not_found")
        yield _get(path, "documentation" if banner.get("docs") else "documentation, which is off", expect, auth=None)
    named = {"X-Request-ID": REQUEST_ID}
    yield _get("/no-such-route", "no such route", refused(404, "not_found", headers=named), headers=named)
    yield _get("/embed-text", "a wrong method", refused(405, "method_not_allowed", headers=named), headers=named)


def _texts(vectors: Vectors) -> Iterator[Probe]:
    yield _post("/embed-text", "a text", vectors.text(SEA), query=SEA)
    yield _post("/embed-text", "another text", vectors.text(DOGS), query=DOGS)
    yield _post("/embed-text", "a text that is too long", vectors.text(LONG, truncated=True), query=LONG)
    yield _post("/embed-text", "a blank text", _invalid("/embed-text"), query=" ")
    yield _post("/embed/text", "a text", vectors.text(SEA), text=SEA)
    yield _post("/embed/text", "a list with a repeated text", vectors.texts(DOGS, SEA, DOGS), texts=[DOGS, SEA, DOGS])
    yield _post("/embed/text", "a list with a blank text", _invalid("/embed/text"), texts=[SEA, " "])
    yield _post("/embed/text", "an empty list", _invalid("/embed/text"), texts=[])
    yield _post("/embed/text", "both of its forms", _invalid("/embed/text"), text=SEA, texts=[SEA])


def _images(vectors: Vectors) -> Iterator[Probe]:
    one, other, junk = _picture(64, 48), _picture(40, 60), b"no picture at all"
    for path in ("/embed-image", "/embed/image"):
        yield _post(path, "an image in base64", vectors.image(one), image=_base64(one))
        yield _post(path, "an image as a data: URI", vectors.image(one), image=_data_uri(one))
        yield _post(path, "wrong base64", _invalid(path), image=NO_BASE64)
        yield _post(path, "what is no image", refused(422, "not_an_image"), image=_base64(junk))
    file = {"files": {"file": ("painting.png", one)}}
    yield Probe("POST", "/embed-image", "an uploaded file", vectors.image(one), file)
    wrong = {"files": {"picture": ("painting.png", one)}}
    yield Probe("POST", "/embed-image", "an uploaded file of another name", _invalid("/embed-image"), wrong)
    raw = {"content": other, "headers": {"Content-Type": "image/png"}}
    yield Probe("POST", "/embed-image", "an image as the body itself", vectors.image(other), raw)
    yield _post("/embed-image", "a URL that isn't allowed", refused(422, "url_forbidden"), url=FORBIDDEN)
    yield _post("/embed-image", "both of its forms", _invalid("/embed-image"), url=FORBIDDEN, image=_base64(one))
    good = {0: one, 2: other, 3: one}
    yield _post(
        "/embed/image",
        "a list with wrong base64",
        vectors.images(good, failed={1: "invalid_request"}),
        images=[_base64(one), NO_BASE64, _base64(other), _base64(one)],
    )
    forbidden = vectors.images({}, failed={0: "url_forbidden"})
    yield _post("/embed/image", "a list of a URL that isn't allowed", forbidden, urls=[FORBIDDEN])
    yield _post("/embed/image", "an empty list", _invalid("/embed/image"), images=[])
    files = {"files": [("files", (f"{place}.png", data)) for place, data in enumerate((one, junk, other, one))]}
    uploaded = vectors.images(good, failed={1: "not_an_image"})
    yield Probe("POST", "/embed/image", "uploaded files, one of them no image", uploaded, files)
    mixed = vectors.images({}, failed={0: "url_forbidden"}, texts=[SEA, DOGS])
    yield _post("/embed/mixed", "texts, and a URL that isn't allowed", mixed, texts=[SEA, DOGS], urls=[FORBIDDEN])
    yield _post("/embed/mixed", "texts alone", vectors.images({}, failed={}, texts=[DOGS]), texts=[DOGS])
    yield _post("/embed/mixed", "a blank text", _invalid("/embed/mixed"), texts=[" "])


def _openai(vectors: Vectors) -> Iterator[Probe]:
    path, model, one = "/v1/embeddings", vectors.model, _picture(64, 48)

    def ask(what: str, expect: Expectation, **body: Any) -> Probe:
        return _post(path, what, expect, **{"model": model, **body})

    yield _get("/v1/models", "the model that is served", lambda answer: _serves(ok(answer), model))
    yield ask("a text", vectors.openai(SEA), input=SEA, encoding_format="float")
    yield ask("a list", vectors.openai(DOGS, SEA), input=[DOGS, SEA])
    yield ask("a list in base64", vectors.openai(SEA, DOGS, encoded=True), input=[SEA, DOGS], encoding_format="base64")
    yield ask("an image among texts", vectors.openai(SEA, one), input=[SEA, {"image": _base64(one)}])
    yield ask("an image as a data: URI", vectors.openai(one), input=_data_uri(one))
    half = max(1, vectors.dimensions // 2)
    yield ask("half of the dimensions", vectors.openai(SEA, dimensions=half), input=SEA, dimensions=half)
    yield ask("a field that it ignores", vectors.openai(SEA), input=SEA, user="somebody")
    yield ask("more dimensions than there are", _invalid(path), input=SEA, dimensions=vectors.dimensions + 1)
    yield ask("a blank text", _invalid(path), input=" ")
    yield ask("wrong base64", _invalid(path), input=f"data:image/png;base64,{NO_BASE64}")
    yield ask("a URL that isn't allowed", refused(422, "url_forbidden", as_openai=True), input={"url": FORBIDDEN})
    unknown = refused(404, "model_not_found", as_openai=True)
    yield ask("another model", unknown, input=SEA, model="another-model")


def _index(vectors: Vectors) -> Iterator[Probe]:
    """Searches, and changes that change nothing: the index is somebody's own."""
    yield _get("/index", "what the index is", vectors.index)
    yield _get("/items", "some items", some_items(3), params={"limit": 3})
    yield _get("/items", "no items at all", _invalid("/items"), params={"limit": 0})
    yield _get(OF_NO_ITEM, "an item that isn't there", refused(404, "item_not_found"))
    path, one, found = "/search", _picture(64, 48), vectors.found(3)
    yield _post(path, "near to a text", found, query=SEA, k=3)
    yield _post(path, "the next few", found, query=SEA, k=3, offset=3)
    yield _post(path, "near to an image in base64", found, image=_base64(one), k=3)
    form = {"files": {"file": ("painting.png", one)}, "data": {"k": "3", "min_score": "-1"}}
    yield Probe("POST", path, "near to an uploaded file", found, form)
    embedding = [1.0] * vectors.dimensions
    yield _post(path, "near to a vector", found, embedding=embedding, k=3)
    mixed: list[dict[str, Any]] = [
        {"text": SEA},
        {"image": _base64(one), "weight": 0.5},
        {"text": DOGS, "weight": -0.5},
    ]
    yield _post(path, "near to some, far from others", found, queries=mixed, k=3)
    yield _post(path, "near to a vector, far from a text", found, queries=[{"embedding": embedding}, mixed[2]], k=3)
    for what, sent in (
        ("a vector that is too long", {"embedding": [1.0, *embedding]}),
        ("a vector of another space", {"embedding": embedding, "space": "another"}),
    ):
        yield _post(path, what, refused(409, "space_mismatch"), **sent)
    yield _post(path, "near to no item", refused(404, "item_not_found"), id=NO_ITEM)
    yield _post(path, "a weight of nothing", _invalid(path), queries=[{"text": SEA, "weight": 0}])
    yield _post(path, "no results at all", _invalid(path), query=SEA, k=0)
    yield _post(path, "too many results", _invalid(path), query=SEA, k=10_000)
    yield _post(path, "a filter that is none", _invalid(path), query=SEA, filter={"year": {}})
    yield _post(path, "a blank text", _invalid(path), query=" ")
    yield _post(path, "a URL that isn't allowed", refused(422, "url_forbidden"), url=FORBIDDEN)
    yield _post(path, "both of its forms", _invalid(path), query=SEA, id=NO_ITEM)
    items = [{"id": NO_ITEM}, {"id": NO_ITEM, "image": NO_BASE64}, {"id": NO_ITEM, "url": FORBIDDEN}]
    failing = _nothing_ingested("invalid_request", "invalid_request", "url_forbidden")
    yield _post(INGEST, "items that can't be used", _unless_for_others(failing), items=items)
    yield _post(INGEST, "no items", _invalid(INGEST), items=[])
    yield Probe("DELETE", OF_NO_ITEM, "an item that isn't there", _unless_for_others(having(deleted=0)), {})
    for auth, what in ((None, "no token"), (WRONG, "a wrong token")):
        yield Probe("DELETE", OF_NO_ITEM, what, _unauthorized(OF_NO_ITEM), {"auth": auth})


def _nothing_ingested(*codes: str) -> Expectation:
    """200 with nothing but failures."""

    def judge(answer: Answer) -> None:
        body = ok(answer)
        equal("ingested", body["ingested"], 0)
        equal("failed", [(item["index"], item["code"]) for item in body["failed"]], [*enumerate(codes)])

    return judge


def _behind_urls(vectors: Vectors, url: str) -> Iterator[Probe]:
    failed = {1: "url_forbidden"}
    yield _post("/embed-image", "an image behind a URL", vectors.image(url), url=url)
    yield _post("/embed-image", "a URL in place of base64", vectors.image(url), image=url)
    yield _post("/embed/image", "a list of URLs", vectors.images({0: url}, failed), urls=[url, FORBIDDEN])
    mixed = vectors.images({0: url}, failed, texts=[SEA])
    yield _post("/embed/mixed", "a text and URLs", mixed, texts=[SEA], urls=[url, FORBIDDEN])
    yield _post("/v1/embeddings", "an image behind a URL", vectors.openai(url), model=vectors.model, input={"url": url})


def _refusals(vectors: Vectors, *, searches: bool) -> Iterator[Probe]:
    """What every route that needs a token refuses, and every one that takes JSON."""
    image = _base64(_picture(64, 48))
    bodies: dict[str, dict[str, Any]] = {
        "/embed-text": {"query": SEA},
        "/embed-image": {"image": image},
        "/embed/text": {"texts": [SEA]},
        "/embed/image": {"images": [image]},
        "/embed/mixed": {"texts": [SEA]},
        "/v1/embeddings": {"model": vectors.model, "input": SEA},
    }
    if searches:
        bodies |= {"/search": {"query": SEA}, INGEST: {"items": [{"id": NO_ITEM}]}}
    for path, body in bodies.items():
        yield Probe("POST", path, "no token", _unauthorized(path), {"json": body, "auth": None})
        yield Probe("POST", path, "a wrong token", _unauthorized(path), {"json": body, "auth": WRONG})
        yield _raw(
            path, "a content type that it doesn't take", _error(path, 415, "unsupported_media_type"), "text/plain"
        )
        yield _raw(path, "malformed JSON", _invalid(path), "application/json")
        yield _post(path, "no field at all", _invalid(path))
        if not _is_openai(path):
            yield _post(path, "an unknown field", _invalid(path), **body, nonsense=1)
    for path in ("/v1/models", "/metrics", *(("/index", "/items", OF_NO_ITEM) if searches else ())):
        yield _get(path, "no token", _unauthorized(path), auth=None)
        yield _get(path, "a wrong token", _unauthorized(path), auth=WRONG)


def _get(path: str, what: str, expect: Expectation, **request: Any) -> Probe:
    return Probe("GET", path, what, expect, request)


def _post(path: str, what: str, expect: Expectation, **body: Any) -> Probe:
    return Probe("POST", path, what, expect, {"json": body})


def _raw(path: str, what: str, expect: Expectation, content_type: str) -> Probe:
    return Probe("POST", path, what, expect, {"content": "{", "headers": {"Content-Type": content_type}})


def _is_openai(path: str) -> bool:
    return path.startswith("/v1/")


def _error(path: str, status: int, code: str) -> Expectation:
    expect = refused(status, code, as_openai=_is_openai(path))
    return _unless_for_others(expect) if path == INGEST else expect


def _unauthorized(path: str) -> Expectation:
    return refused(401, "unauthorized", as_openai=_is_openai(path), headers={"WWW-Authenticate": "Bearer"})


def _invalid(path: str) -> Expectation:
    """How a wrong body is refused: these routes' callers know it as 400."""
    return _error(path, 400 if path.startswith(("/embed/", "/v1/")) else 422, "invalid_request")


def _unless_for_others(expect: Expectation) -> Expectation:
    """What must come of a call that may want a token of its own (METRICS_TOKEN, ADMIN_TOKEN)."""
    return lambda answer: (_unauthorized("/") if answer.status == 401 else expect)(answer)


def _serves(models: Any, name: str) -> None:
    if name not in [model["id"] for model in models["data"]]:
        raise Surprise(f"{name} is not among the models: {models}")


def _picture(width: int, height: int) -> bytes:
    """A small picture, which differs by its size."""
    stream = io.BytesIO()
    tones = [Image.linear_gradient("L").rotate(90 * turns + width).resize((width, height)) for turns in range(3)]
    Image.merge("RGB", tones).save(stream, "PNG")
    return stream.getvalue()


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{_base64(data)}"
