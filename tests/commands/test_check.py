"""`tate-embeddings check`: content with an instance as it should be, and with no other."""

import base64
import copy
import re
from typing import Any

import httpx
import pytest
from app import cli

from tests.commands.conftest import Exchanged, Live, Spoil
from tests.conftest import AUTHORIZED, TOKEN
from tests.test_endpoints import as_png, painting


def run(url: str, *options: str) -> int:
    return cli.main(["check", url, "--token", TOKEN, "--timeout", "60", *options])


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("app.commands.instance.monotonic", clock.monotonic)
    monkeypatch.setattr("app.commands.instance.sleep", clock.sleep)
    return clock


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said of why there is nothing to check, which must be one line for a person."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("tate-embeddings: ")
    return lines[0]


def test_an_instance_as_it_should_be_is_no_surprise(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(live.url)

    said = capsys.readouterr().out
    assert (status, "FAILED" in said) == (0, False), said
    assert "no surprises" in said


def test_its_lines_are_aligned(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    run(live.url)

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ok")]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert all(line.endswith(" ms") for line in lines)


def test_every_route_is_called(live: Live) -> None:
    run(live.url)

    paths = httpx.get(f"{live.url}/openapi.json").json()["paths"]
    called = {(method, re.sub("^/items/.*", "/items/{id}", path)) for method, path in live.called}
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} <= called


def ingested(live: Live) -> None:
    """Let there be two items in the index of an instance."""
    image = base64.b64encode(as_png(painting())).decode()
    items = [{"id": str(number), "image": image, "metadata": {"number": number}} for number in range(2)]
    httpx.post(f"{live.url}/ingest", json={"items": items}, headers=AUTHORIZED).raise_for_status()


def found(live: Live) -> list[str]:
    """What there is in the index of an instance."""
    answer = httpx.post(f"{live.url}/search", json={"query": "anything", "k": 1000}, headers=AUTHORIZED)
    return sorted(result["id"] for result in answer.json()["results"])


def test_an_index_stays_as_it_is(live: Live) -> None:
    ingested(live)

    assert run(live.url) == 0
    assert found(live) == ["0", "1"]


def _without_search(answer: Exchanged) -> None:
    if answer.path.startswith(("/search", "/ingest", "/items", "/index")):
        answer.status, answer.body = 404, {"detail": "There is no such route.", "code": "not_found"}


def test_an_instance_without_an_index_is_not_asked_to_search(live: Live) -> None:
    live.spoil = _without_search

    assert run(live.url) == 0
    assert ("POST", "/ingest") not in live.called


def _of_administrators(answer: Exchanged) -> None:
    if answer.path == "/ingest" or answer.method == "DELETE":
        answer.status, answer.body = 401, {"detail": "A valid bearer token is needed.", "code": "unauthorized"}
        answer.headers["www-authenticate"] = "Bearer"


def test_an_index_that_only_administrators_may_change_is_no_surprise(live: Live) -> None:
    live.spoil = _of_administrators

    assert run(live.url) == 0


def test_the_token_may_come_from_the_settings(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_TOKEN", f"{TOKEN},another-token-of-the-tests")

    assert cli.main(["check", f"{live.url}/"]) == 0


def _in(path: str, change: Any) -> Spoil:
    def spoil(answer: Exchanged) -> None:
        if answer.path == path and answer.status == 200:
            change(answer.body)

    return spoil


def _another_space(body: Any) -> None:
    body["space"] = "0123456789abcdef"


def _not_of_length_1(body: Any) -> None:
    body["embedding"] = [1.001 * number for number in body["embedding"]]


def _cut(body: Any) -> None:
    body["embedding"] = body["embedding"][:-1]


def _another_vector(body: Any) -> None:
    body["embedding"] = body["embedding"][::-1]


def _no_number(body: Any) -> None:
    body["embedding"][0] = None


def _in_another_order(body: Any) -> None:
    body.get("data", body.get("embeddings")).reverse()


def _no_dimensions(body: Any) -> None:
    del body["dimensions"]


def _shifted(body: Any) -> None:
    if body.get("indices"):
        body["indices"] = [index - 1 for index in body["indices"]]


def _without_failures(body: Any) -> None:
    if "failed" in body:
        body["failed"] = []


def _sideways(body: Any) -> None:
    body["width"], body["height"] = body["height"], body["width"]


def _of_other_bytes(body: Any) -> None:
    body["sha256"] = body["sha256"][::-1]


def _truncated(body: Any) -> None:
    body["truncated"] = True


def _tokens_lost(body: Any) -> None:
    body["usage"]["total_tokens"] += 1


def _no_token_needed(answer: Exchanged) -> None:
    if answer.status == 401:
        answer.status = 200


def _no_challenge(answer: Exchanged) -> None:
    answer.headers.pop("www-authenticate", None)


def _no_request_id(answer: Exchanged) -> None:
    answer.headers.pop("x-request-id", None)


def _request_ids_of_its_own(answer: Exchanged) -> None:
    answer.headers["x-request-id"] = "another"


def _errors_of_another_shape(answer: Exchanged) -> None:
    if answer.status >= 400:
        answer.body = {"error": "no"}


def _errors_with_traces(answer: Exchanged) -> None:
    if answer.status >= 400 and "detail" in answer.body:
        answer.body["trace"] = "Traceback"


def _our_errors_on_openai_s_route(answer: Exchanged) -> None:
    if answer.status >= 400 and "error" in answer.body:
        answer.body = {"detail": answer.body["error"]["message"], "code": answer.body["error"]["code"]}


def _another_code(answer: Exchanged) -> None:
    if answer.body.get("code") == "not_an_image":
        answer.body["code"] = "image_corrupt"


def _every_fault_is_422(answer: Exchanged) -> None:
    if answer.status == 400:
        answer.status = 422


def _no_detail(answer: Exchanged) -> None:
    if answer.status >= 400 and "detail" in answer.body:
        answer.body["detail"] = ""


def _breaks_off(answer: Exchanged) -> None:
    answer.breaks_off = answer.path == "/embed/mixed"


def _no_detail_of_an_item(body: Any) -> None:
    for failed in body.get("failed", ()):
        failed["detail"] = ""


def _beyond_float64(body: Any) -> None:
    body["embedding"][0] = 10**400


def _a_list_for_an_answer(answer: Exchanged) -> None:
    if answer.path == "/embed/mixed":
        answer.body = [answer.body]


def _no_model(answer: Exchanged) -> None:
    if "object" in answer.body and answer.path == "/v1/models":
        answer.body["data"] = []


def _the_farthest_first(body: Any) -> None:
    if body["results"]:
        body["results"] = [{**body["results"][0], "score": -1, "id": "farthest"}, *body["results"]]


def _twice(body: Any) -> None:
    body["results"] = body["results"][:1] * 2


def _beyond_1(body: Any) -> None:
    for result in body["results"]:
        result["score"] = 2


def _without_metadata(body: Any) -> None:
    for result in body["results"]:
        result["metadata"] = None


def _all_ingested(body: Any) -> None:
    body["ingested"], body["failed"] = len(body["failed"]), []


def _deleted(answer: Exchanged) -> None:
    if answer.path.startswith("/items/") and answer.status == 200:
        answer.body["deleted"] = 1


def _rarest_first(body: Any) -> None:
    for field in body["fields"].values():
        field["values"] = [{"value": 7, "count": 0}, *field["values"]]


def _of_no_space(body: Any) -> None:
    body["space"] = None


def _another_model(body: Any) -> None:
    body["model"] = "another"


def _too_many(body: Any) -> None:
    body["items"] = [{"id": str(number), "metadata": {}} for number in range(4)]


def _bare(body: Any) -> None:
    for item in body["items"]:
        item["metadata"] = None


def _everything_alike() -> Spoil:
    kept: list[Any] = []

    def spoil(answer: Exchanged) -> None:
        if answer.path == "/embed-text" and answer.status == 200:
            kept.append(copy.deepcopy(answer.body["embedding"]))
            answer.body["embedding"] = kept[0]

    return spoil


FAULTS: dict[str, tuple[Spoil, str]] = {
    "another space": (_in("/embed/text", _another_space), "space is '0123456789abcdef' instead of"),
    "another space in OpenAI's form": (_in("/v1/embeddings", _another_space), "space is"),
    "not of length 1": (_in("/embed-text", _not_of_length_1), "a vector of length 1.001"),
    "too short": (_in("/embed-image", _cut), "the vector's shape is (63,)"),
    "another vector on another route": (_in("/embed-image", _another_vector), "their cosine is"),
    "no number": (_in("/embed-text", _no_number), "a vector of length nan"),
    "a list in another order": (_in("/v1/embeddings", _in_another_order), "index is"),
    "no dimensions": (_in("/embed-image", _no_dimensions), "of another form (KeyError: 'dimensions')"),
    "indices shifted": (_in("/embed/image", _shifted), "indices is [-1, 1, 2] instead of [0, 2, 3]"),
    "failures hidden": (_in("/embed/image", _without_failures), "failed is {}"),
    "sideways": (_in("/embed-image", _sideways), "sha256, width, height is"),
    "the digest of other bytes": (_in("/embed-image", _of_other_bytes), "sha256, width, height is"),
    "truncated": (_in("/embed-text", _truncated), "truncated is True"),
    "tokens lost": (_in("/v1/embeddings", _tokens_lost), "usage is"),
    "one vector for all texts": (_everything_alike(), "the same vector as of another thing"),
    "no token needed": (_no_token_needed, "status is 200 instead of 401"),
    "no challenge": (_no_challenge, "WWW-Authenticate is None"),
    "no request id": (_no_request_id, "no X-Request-ID"),
    "request ids of its own": (_request_ids_of_its_own, "X-Request-ID is 'another'"),
    "errors of another shape": (_errors_of_another_shape, "the error's form is"),
    "errors with traces": (_errors_with_traces, "the error's form is"),
    "our errors on OpenAI's route": (_our_errors_on_openai_s_route, "the error's form is"),
    "another code": (_another_code, "code is 'image_corrupt' instead of 'not_an_image'"),
    "another status": (_every_fault_is_422, "status is 422 instead of 400"),
    "no detail": (_no_detail, "detail is ''"),
    "breaks off": (_breaks_off, "no answer (RemoteProtocolError"),
    "no detail of an item": (_in("/embed/image", _no_detail_of_an_item), "an item failed without a detail"),
    "beyond float64": (_in("/embed-text", _beyond_float64), "of another form (OverflowError"),
    "a list for an answer": (_a_list_for_an_answer, "of another form (TypeError"),
    "no model": (_no_model, "is not among the models"),
    "another space of an index": (_in("/search", _another_space), "space is '0123456789abcdef' instead of"),
    "the farthest first": (_in("/search", _the_farthest_first), "scores are"),
    "an item twice": (_in("/search", _twice), "or one of them twice"),
    "a cosine beyond 1": (_in("/search", _beyond_1), "scores are [2, 2]"),
    "an item without metadata": (_in("/search", _without_metadata), "an item without metadata"),
    "an index that tells of another model": (_in("/index", _another_model), "model is 'another' instead of"),
    "an index of no space": (_in("/index", _of_no_space), "without a space or dimensions"),
    "the rarest value first": (_in("/index", _rarest_first), "of the field 'number' there are"),
    "more items than are wanted": (_in("/items", _too_many), "more than 3 items"),
    "an item that is bare": (_in("/items", _bare), "an item without metadata"),
    "all put in": (_in("/ingest", _all_ingested), "ingested is 3 instead of 0"),
    "something taken out": (_deleted, "deleted is 1 instead of 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_surprise(live: Live, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    ingested(live)
    live.spoil, surprise = FAULTS[fault]

    assert run(live.url) == 1
    said = capsys.readouterr().out
    assert any(surprise in line for line in said.splitlines() if line.startswith("FAILED")), said


def test_an_image_that_the_instance_can_t_fetch_is_a_surprise(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(live.url, "--image-url", f"{live.url}/live") == 1
    assert "not_an_image" in capsys.readouterr().out


def test_where_nobody_listens_is_one_line(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"http://127.0.0.1:{free_port}") == 1
    assert "is not ready after 60 seconds: no answer (ConnectError" in only_line(capsys)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:b@127.0.0.1", "http://127.0.0.1:99999",
     "http://127.0.0.1/?a=b", ""],
)  # fmt: skip
def test_a_wrong_url_is_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(url) == 1
    assert "is no address of an instance" in only_line(capsys)


def test_a_wrong_token_is_one_line(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(live.url, "--token", "another-token-of-the-tests") == 1
    line = only_line(capsys)
    assert "doesn't know this token" in line
    assert "another-token-of-the-tests" not in line


@pytest.mark.parametrize(("token", "line"), [("", "a token is needed"), ("a\nb", "no header can hold")])
def test_a_token_that_can_t_be_one_is_one_line(
    live: Live, capsys: pytest.CaptureFixture[str], token: str, line: str
) -> None:
    assert run(live.url, "--token", token) == 1
    assert line in only_line(capsys)


def _unhealthy(answer: Exchanged) -> None:
    if answer.path == "/health":
        answer.status, answer.body["status"] = 503, "unhealthy"


def _elsewhere(answer: Exchanged) -> None:
    answer.status, answer.headers["location"] = 307, "https://elsewhere.example.org/health"


def _another_service(answer: Exchanged) -> None:
    answer.body = {"status": "up"}


def _another_banner(answer: Exchanged) -> None:
    if answer.path == "/":
        answer.body = "Hello"


def _without_a_tag(answer: Exchanged) -> None:
    if answer.path == "/":
        del answer.body["pretrained"]


def _without_dimensions(answer: Exchanged) -> None:
    if answer.path == "/":
        answer.body["dimensions"] = None


def _behind_a_proxy_that_waits(answer: Exchanged) -> None:
    answer.status, answer.body = 502, None


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (_unhealthy, "is not ready after 60 seconds: unhealthy"),
        (_elsewhere, "which leads to https://elsewhere.example.org/health"),
        (_another_service, "not as tate-embeddings does"),
        (_another_banner, "no banner of tate-embeddings"),
        (_without_a_tag, "lacks something: 'pretrained'"),
        (_without_dimensions, "/ says that vectors have None dimensions"),
        (_behind_a_proxy_that_waits, "is not ready after 60 seconds: status 502"),
    ],
)
def test_what_is_not_a_healthy_instance_is_one_line(
    live: Live, capsys: pytest.CaptureFixture[str], spoil: Spoil, line: str
) -> None:
    live.spoil = spoil

    assert run(live.url) == 1
    assert line in only_line(capsys)


def test_an_instance_that_is_loading_is_waited_for(
    live: Live, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    states = iter(["loading", "loading", "unhealthy"])

    def loading(answer: Exchanged) -> None:
        if answer.path == "/health" and (state := next(states, None)):
            answer.status, answer.body["status"] = 503, state

    live.spoil = loading

    assert run(live.url) == 0
    assert clock.now == 1.5
    waits = [line for line in capsys.readouterr().out.splitlines() if line.startswith("waiting")]
    assert [line.rpartition(" ")[2] for line in waits] == ["loading", "unhealthy"]


def test_documentation_that_is_said_to_be_off_must_not_be_there(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    def hidden(answer: Exchanged) -> None:
        if answer.path == "/":
            answer.body["docs"] = None

    live.spoil = hidden

    assert run(live.url) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 3
    assert all("documentation, which is off" in line for line in failed)


@pytest.mark.parametrize("seconds", ["0", "-1", "inf", "nan", "soon"])
def test_a_timeout_is_a_number_of_seconds(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit):
        run("http://127.0.0.1", f"--timeout={seconds}")

    assert "--timeout" in capsys.readouterr().err
