"""The smoke test of a live instance: every route, with what it takes and with what it must refuse."""

import io
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.commands.expectations import Expectation, Vectors, having, ok, page, refused
from app.commands.instance import Answer, Instance, Surprise, bearer
from app.errors import InstanceUnusable

SEA, DOGS = "a stormy sea at night", "two dogs on a beach"
# Longer than any model reads.
LONG = "a stormy sea " * 2000
FORBIDDEN = "ftp://images.example.org/painting.png"
NO_BASE64 = "this is no base64!"
SERVICE = "tate-embeddings"
REQUEST_ID = "tate-embeddings-check"
WRONG = bearer("not-the-token-of-any-instance")


@dataclass(frozen=True)
class Probe:
    """One call, and what must come of it; `request` is in httpx's words."""

    method: str
    path: str
    what: str
    expect: Expectation
    request: dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """What came of a call; `surprise` if it isn't what must come of it."""

    probe: Probe
    surprise: str | None
    status: int | None = None
    dimensions: int | None = None
    ms: float | None = None

    def __str__(self) -> str:
        verdict = "FAILED" if self.surprise else "ok"
        figures = f"{self.status or '-':>3}  {self.dimensions or '-':>5}"
        took = "       -" if self.ms is None else f"{self.ms:8.1f}"
        line = f"{verdict:6}  {self.probe.method:4} {self.probe.path:14}  {self.probe.what:46}  {figures}  {took} ms"
        return f"{line}  {self.surprise}" if self.surprise else line


def check(instance: Instance, image_url: str | None, say: Callable[[str], None]) -> bool:
    """Call every route of an instance, once it is ready, and say what comes of it; whether nothing surprises.

    Args:
        instance: which.
        image_url: where the instance can fetch an image from. Without it, image URLs are tried as far as refusals go.
        say: is told of each call, and of what is waited for.

    Raises:
        InstanceUnusable: there is nothing to be tested.
    """
    health = instance.wait(say)
    try:
        banner = ok(instance.ask("GET", "/", auth=None))
        if not isinstance(banner, dict) or banner.get("service") != SERVICE:
            raise Surprise(f"/ is no banner of {SERVICE}")
        vectors = Vectors(health, banner)
        known = instance.ask("GET", "/v1/models").status != 401
    except Surprise as reason:
        raise InstanceUnusable(f"{instance.url} is healthy, but can't be checked: {reason}") from None
    except (LookupError, TypeError) as error:
        raise InstanceUnusable(f"{instance.url} is healthy, but / or /health lacks something: {error}") from None
    if not known:
        raise InstanceUnusable(f"{instance.url} doesn't know this token; --token or AUTH_TOKEN must be one of its own")
    found = []
    for probe in probes(vectors, banner, image_url):
        found.append(_finding(instance, probe))
        say(str(found[-1]))
    surprises = sum(finding.surprise is not None for finding in found)
    say(f"{len(found)} calls, {surprises or 'no'} surprise{'' if surprises == 1 else 's'}, at {instance.url}")
    return not surprises


def probes(vectors: Vectors, banner: dict[str, Any], image_url: str | None) -> Iterator[Probe]:
    """Every call that is made of an instance with this banner."""
    yield from _open_to_all(banner)
    yield _get("/metrics", "metrics", _metrics)
    yield from _texts(vectors)
    yield from _images(vectors)
    yield from _openai(vectors)
    if image_url:
        yield from _behind_urls(vectors, image_url)
    yield from _refusals(vectors)


def _finding(instance: Instance, probe: Probe) -> Finding:
    try:
        answer = instance.ask(probe.method, probe.path, **probe.request)
    except Surprise as surprise:
        return Finding(probe, str(surprise))
    try:
        dimensions = probe.expect(answer)
        if not answer.headers.get("X-Request-ID"):
            raise Surprise("no X-Request-ID")
    except Surprise as surprise:
        return Finding(probe, str(surprise), answer.status, ms=answer.ms)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        reason = f"an answer of another form ({type(error).__name__}: {error})"
        return Finding(probe, reason, answer.status, ms=answer.ms)
    return Finding(probe, None, answer.status, dimensions, answer.ms)


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


def _behind_urls(vectors: Vectors, url: str) -> Iterator[Probe]:
    failed = {1: "url_forbidden"}
    yield _post("/embed-image", "an image behind a URL", vectors.image(url), url=url)
    yield _post("/embed-image", "a URL in place of base64", vectors.image(url), image=url)
    yield _post("/embed/image", "a list of URLs", vectors.images({0: url}, failed), urls=[url, FORBIDDEN])
    mixed = vectors.images({0: url}, failed, texts=[SEA])
    yield _post("/embed/mixed", "a text and URLs", mixed, texts=[SEA], urls=[url, FORBIDDEN])
    yield _post("/v1/embeddings", "an image behind a URL", vectors.openai(url), model=vectors.model, input={"url": url})


def _refusals(vectors: Vectors) -> Iterator[Probe]:
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
    for path in ("/v1/models", "/metrics"):
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
    return refused(status, code, as_openai=_is_openai(path))


def _unauthorized(path: str) -> Expectation:
    return refused(401, "unauthorized", as_openai=_is_openai(path), headers={"WWW-Authenticate": "Bearer"})


def _invalid(path: str) -> Expectation:
    """How a wrong body is refused: these routes' callers know it as 400."""
    return _error(path, 400 if path.startswith(("/embed/", "/v1/")) else 422, "invalid_request")


def _metrics(answer: Answer) -> None:
    """Metrics, unless they want a token of their own (METRICS_TOKEN)."""
    page(answer) if answer.status != 401 else _unauthorized("/metrics")(answer)


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
