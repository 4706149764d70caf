"""A stand-in for Elasticsearch 9 on loopback, as there is none where the tests run.

It checks each request against the documented interface and refuses what isn't in it: routes, parameters, keys, types,
media types (`fields.py`, `cluster.py`). It answers from memory, and searches exactly.
"""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.search.elasticsearch.cluster import Cluster
from tests.search.elasticsearch.fields import Body, Refused

# Indexes are refreshed so many times as often as on a server, which tests would wait for.
PACE = 20.0
MEDIA_TYPE = re.compile(r"application/(?:vnd\.elasticsearch\+)?(json|x-ndjson)(?:; *compatible-with=(\d+))?")
MAJOR = 9
BULK_ACTIONS = {"index": 2, "delete": 1}

Parameters = dict[str, str]


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    parameters: Parameters
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """What becomes of the next requests of some kind: a failure, or nothing, which drops the connection."""

    kind: re.Pattern[str]
    failure: Refused | None
    times: int


@dataclass
class StandIn:
    """The server, as tests see it."""

    cluster: Cluster
    port: int = 0
    authorization: str | None = None
    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    before: Callable[[Asked], None] = lambda _: None
    gone: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"elasticsearch://127.0.0.1:{self.port}"

    def fail(self, kind: str, status: int, error: str = "as_the_test_wants_it", times: int = 100) -> None:
        """Answer requests of a kind (a pattern of `METHOD /path`) with a failure."""
        self.faults.append(Fault(re.compile(kind), Refused(status, error, "secret reason"), times))

    def drop(self, kind: str, times: int = 100) -> None:
        """Close the connection on requests of a kind."""
        self.faults.append(Fault(re.compile(kind), None, times))

    def requests(self, kind: str) -> list[Asked]:
        """What was asked, of a kind."""
        return [asked for asked in self.asked if re.search(kind, str(asked))]

    def answer(self, asked: Asked) -> Body:
        """Do as asked, if it is asked for as it is documented."""
        for method, pattern, known, do in ROUTES:
            path = re.fullmatch(pattern, asked.path)
            if path and method == asked.method:
                for name in asked.parameters.keys() - {*known, "filter_path"}:
                    raise Refused(400, "illegal_argument_exception", f"contains unrecognized parameter: [{name}]")
                return self._done(do, [unquote(name) for name in path.groups()], asked)
        raise Refused(400, "illegal_argument_exception", f"no handler found for [{asked}]")

    def _done(self, do: "Do", names: list[str], asked: Asked) -> Body:
        try:
            return _filtered(do(self.cluster, names, asked), asked.parameters.get("filter_path"))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Refused(400, "parsing_exception", f"something in [{asked}] is of a wrong form") from error


Do = Callable[[Cluster, list[str], Asked], Body]
NAME = r"/([^/_][^/]*)"


def _plain(do: Callable[[Cluster, str, Body], Body]) -> Do:
    return lambda cluster, names, asked: do(cluster, names[0], asked.body)


ROUTES: list[tuple[str, str, set[str], Do]] = [
    ("PUT", NAME, {"timeout", "master_timeout", "wait_for_active_shards"}, _plain(Cluster.create)),
    ("GET", NAME, {"features", "expand_wildcards", "allow_no_indices"}, _plain(Cluster.get)),
    ("DELETE", NAME, {"timeout", "master_timeout"}, _plain(Cluster.delete)),
    ("PUT", f"{NAME}/_settings", {"timeout", "master_timeout"}, _plain(Cluster.put_settings)),
    ("PUT", f"{NAME}/_block/write", {"timeout", "master_timeout"}, _plain(Cluster.block)),
    ("POST", f"{NAME}/_refresh", set(), _plain(Cluster.refresh)),
    ("POST", "/_aliases", {"timeout", "master_timeout"}, lambda cluster, _, asked: cluster.update_aliases(asked.body)),
    (
        "PUT", f"{NAME}/_bulk", {"require_alias"},
        lambda cluster, names, asked: cluster.bulk(names[0], asked.body, _true(asked, "require_alias")),
    ),
    ("POST", f"{NAME}/_search", set(), lambda cluster, names, asked: cluster.search(names[0], asked.body)),
    ("POST", "/_search", set(), lambda cluster, _, asked: cluster.search(None, asked.body)),
    (
        "POST", f"{NAME}/_count", {"terminate_after"},
        lambda cluster, names, asked: cluster.count(
            names[0], asked.body or {}, int(asked.parameters.get("terminate_after", 0))
        ),
    ),
    (
        "POST", f"{NAME}/_pit", {"keep_alive"},
        lambda cluster, names, asked: cluster.open_point(names[0], asked.parameters["keep_alive"]),
    ),
    ("DELETE", "/_pit", set(), lambda cluster, _, asked: cluster.close_point(asked.body)),
]  # fmt: skip


@contextmanager
def standing_in(
    authorization: str | None = None, pace: float = PACE, tls: ssl.SSLContext | None = None
) -> Iterator[StandIn]:
    """The server, with nothing in it.

    Args:
        authorization: what this header must be.
        pace: how many times as fast as on a server indexes are refreshed.
        tls: what it speaks TLS with.
    """
    stand_in = StandIn(Cluster(pace), authorization=authorization)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body at once

        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                asked = _read(self, data)
                stand_in.asked.append(asked)
                stand_in.before(asked)
                with stand_in.lock:
                    if stand_in.gone or _dropped(stand_in, asked):
                        self.close_connection = True
                        return
                    if authorization and self.headers.get("Authorization") != authorization:
                        raise Refused(401, "security_exception", "unable to authenticate user [x] for REST request")
                    status, answer = 200, stand_in.answer(asked)
            except Refused as error:
                status, described = error.status, {"type": error.kind, "reason": str(error)}
                answer = {"error": {"root_cause": [described], **described}, "status": status}
            self._send(status, json.dumps(answer).encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("X-elastic-product", "Elasticsearch")
            self.send_header("Content-Type", f"application/vnd.elasticsearch+json;compatible-with={MAJOR}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    stand_in.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(handler: BaseHTTPRequestHandler, data: bytes) -> Asked:
    parts = urlsplit(handler.path)
    form = _form(handler, bulk=parts.path.endswith("/_bulk")) if data else None
    _checked_media_type(handler.headers.get("Accept", ""), "json")
    try:
        body = None if form is None else _actions(data) if form == "x-ndjson" else json.loads(data)
    except ValueError as error:
        raise Refused(400, "x_content_parse_exception", "it is no JSON") from error
    return Asked(handler.command, parts.path, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))), body)


def _form(handler: BaseHTTPRequestHandler, *, bulk: bool) -> str:
    return _checked_media_type(handler.headers.get("Content-Type", ""), "x-ndjson" if bulk else "json")


def _checked_media_type(header: str, wanted: str) -> str:
    read = MEDIA_TYPE.fullmatch(header)
    if read is None or read[1] != wanted or int(read[2] or MAJOR) not in (MAJOR - 1, MAJOR):
        raise Refused(400, "media_type_header_exception", f"Invalid media-type value [{header}]")
    return wanted


def _actions(data: bytes) -> list[tuple[str, Body, Body | None]]:
    if not data.endswith(b"\n"):
        raise Refused(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
    lines = iter(data.decode().split("\n")[:-1])
    actions = []
    for line in lines:
        ((kind, meta),) = json.loads(line).items()
        if kind not in BULK_ACTIONS:
            raise Refused(400, "illegal_argument_exception", f"Malformed action/metadata line: [{kind}]")
        actions.append((kind, meta, json.loads(next(lines)) if BULK_ACTIONS[kind] == 2 else None))
    return actions


def _dropped(stand_in: StandIn, asked: Asked) -> bool:
    """Whether nothing is to be answered; a failure that a test wants is raised."""
    for fault in stand_in.faults:
        if fault.times and fault.kind.search(str(asked)):
            fault.times -= 1
            if fault.failure is None:
                return True
            raise fault.failure
    return False


def _true(asked: Asked, name: str) -> bool:
    value = asked.parameters.get(name, "false")
    if value not in ("true", "false"):
        raise Refused(400, "illegal_argument_exception", f"Failed to parse value [{value}] as a boolean")
    return value == "true"


def _filtered(answer: Body, paths: str | None) -> Body:
    """What of an answer is asked for, by paths such as `*.mappings._meta`."""
    if paths is None:
        return answer
    kept: Body = {}
    for path in paths.split(","):
        _keep(answer, path.split("."), kept)
    return kept


def _keep(answer: Body, path: list[str], kept: Body) -> None:
    first, *rest = path
    for name in answer if first == "*" else {first} & answer.keys():
        if not rest:
            kept[name] = answer[name]
        elif isinstance(answer[name], dict):
            inner = kept.get(name, {})
            _keep(answer[name], rest, inner)
            if inner:
                kept[name] = inner
