"""From INDEX_URL to Milvus's own client, and from that client's failures to ours."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
from pymilvus import MilvusClient, MilvusException, Status

from app.errors import IndexUnavailable, IndexUnusable
from app.search.milvus import lite

logger = logging.getLogger(__name__)

SCHEMES = {"milvus+http": "http", "milvus+https": "https"}
PORT = 19530  # Milvus's, behind TLS too
DEFAULT_NAME = "tate_embeddings"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
EXAMPLE = "milvus+https://user:password@host:19530?index=name"

CONNECT_S = 3.0
ANSWER_S = 10.0
CHANGE_S = 30.0
# For what Milvus does to a whole collection: making, loading, writing it to disk.
LONG_S = 120.0

CHANNEL = {
    "grpc.enable_http_proxy": 0,  # a proxy of the environment is for the web, and has no way to loopback
    "grpc.use_local_subchannel_pool": 1,  # else a client that is made anew waits for the retries of the last one
}
# What a version begins with where Milvus Lite answers, in this process or as a server of its own.
LITE = "milvus_lite"

GONE = {Status.CONNECT_FAILED, grpc.StatusCode.UNAVAILABLE}

# It writes to standard error past all logging, with a traceback for each failure that is then raised as well.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Address:
    """Where a Milvus is: at a URI, or in a file."""

    uri: str = ""
    token: str = field(default="", repr=False)
    file: str = ""


def understood(index_url: str) -> tuple[Address, str]:
    """The address in a URL, and the name of the index that it speaks of.

    It reads `milvus:///FILE.db?index=NAME`, or `milvus+http://host:19530?index=NAME`, where `user:password@` or an API
    key with `@` may stand before the host. What isn't plain in a URL is percent-encoded.

    Raises:
        IndexUnusable: the URL says something else.
    """
    parts = urlsplit(index_url)
    options = parse_qs(parts.query, keep_blank_values=True)
    if unknown := options.keys() - {"index"}:
        raise _unusable(f"it has no option '{min(unknown)}'")
    name = options.get("index", [DEFAULT_NAME])[-1]
    if not NAME.fullmatch(name):
        raise _unusable("'index' is up to 40 small letters, digits and '_', a letter first")
    if parts.scheme not in SCHEMES:
        return Address(file=str(Path(unquote(parts.path)).absolute())), name
    try:
        port = parts.port or PORT
    except ValueError:
        raise _unusable("its port is none") from None
    if not parts.hostname:
        raise _unusable("it names no host")
    if ":" in parts.hostname:
        raise _unusable("Milvus's client finds an address of IPv6 by a name only")
    if parts.path.strip("/"):
        raise _unusable("it has a path, where Milvus has none")
    token = ":".join(unquote(part) for part in (parts.username, parts.password) if part is not None)
    return Address(f"{SCHEMES[parts.scheme]}://{parts.hostname}:{port}", token), name


class Connection:
    """A client that is made when it is first needed, and made anew when its server was gone."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._making = threading.Lock()
        self._client: MilvusClient | None = None
        self._served: lite.Served | None = None
        # Whether Milvus Lite answers, known once there is a client.
        self.is_lite = False

    @contextmanager
    def asking(self) -> Iterator[MilvusClient]:
        """The client, for one request or several that belong together.

        Raises:
            IndexUnavailable: Milvus doesn't answer, or can't do what it is asked.
        """
        client = None
        try:
            client = self._made()
            with self._turn():
                yield client
        except (MilvusException, grpc.RpcError) as error:
            code = error.code() if isinstance(error, grpc.RpcError) else error.code
            logger.warning("Milvus fails: %s, code %s", type(error).__name__, code)
            if code in GONE and client is not None:
                self._forget(client)
            raise IndexUnavailable("The index doesn't answer; try again soon.") from error

    def close(self) -> None:
        """Let go of the server, and of the file."""
        if self._client is not None:
            self._forget(self._client)
        with self._making:
            if self._served is not None:
                lite.let_go(self._address.file)
            self._served = None

    def _made(self) -> MilvusClient:
        # Whoever has waited for so long would only wait in vain once more.
        if not self._making.acquire(timeout=CONNECT_S):
            raise IndexUnavailable("The index doesn't answer; try again soon.")
        try:
            if self._client is None:
                if self._address.file and self._served is None:
                    self._served = lite.serve(self._address.file)
                uri = self._address.uri if self._served is None else self._served.uri
                self._client, self.is_lite = _connected(uri, self._address.token)
            return self._client
        finally:
            self._making.release()

    def _turn(self) -> AbstractContextManager[object]:
        return nullcontext() if self._served is None else self._served.turn

    def _forget(self, client: MilvusClient) -> None:
        with self._making:
            self._client = None if self._client is client else self._client
        client.close()


def _connected(uri: str, token: str) -> tuple[MilvusClient, bool]:
    client = MilvusClient(uri, token=token, timeout=CONNECT_S, dedicated=True, grpc_options=CHANNEL)
    try:
        return client, client.get_server_version(timeout=CONNECT_S).startswith(LITE)
    except BaseException:
        client.close()
        raise


def _unusable(wrong: str) -> IndexUnusable:
    return IndexUnusable(f"INDEX_URL is wrong: {wrong}. Example: INDEX_URL={EXAMPLE}")
