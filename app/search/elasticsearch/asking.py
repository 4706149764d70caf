"""From INDEX_URL to Elasticsearch's own client, and from that client's failures to ours."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from elastic_transport import ObjectApiResponse
from elasticsearch import ApiError, Elasticsearch, OrjsonSerializer, TransportError

from app.errors import IndexUnavailable, IndexUnusable

logger = logging.getLogger(__name__)

SCHEMES = {"elasticsearch": "http", "elasticsearch+http": "http", "elasticsearch+https": "https"}
PORT = 9200  # Elasticsearch's, behind TLS too
DEFAULT_NAME = "tate_embeddings"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
OPTIONS = {"index", "ca_certs"}
# Whose password is an API key.
KEY_HOLDER = "apikey"
EXAMPLE = "elasticsearch+https://user:password@host:9200?index=name"

# A bulk of vectors is indexed before it is answered.
TIMEOUT_S = 60.0
# What fails for want of a connection, or is answered with 429, 502, 503 or 504, is asked once more.
RETRIES = 1
# These say at each request whom they ask, and of a failure everything that was answered: addresses and documents.
TALKATIVE = ("elastic_transport", "urllib3")

# Their reasons name a privilege that is missing, and nothing that a caller has sent.
FORBIDDEN = {401, 403}


def connected(index_url: str) -> tuple[Elasticsearch, str]:
    """The client for a URL, and the name of the index that it speaks of. Nothing is asked yet.

    It reads `elasticsearch://host:9200`, which is plain HTTP like `elasticsearch+http://`, or
    `elasticsearch+https://user:password@host:9200/prefix?index=NAME`. An API key, as Elasticsearch gives it out in
    base64, is given as `apikey:KEY@`. `ca_certs=FILE` names the authority of a server that has its own. What isn't
    plain in a URL is percent-encoded.

    Raises:
        IndexUnusable: the URL says something else.
    """
    parts = urlsplit(index_url)
    options = parse_qs(parts.query, keep_blank_values=True)
    try:
        port = parts.port or PORT
    except ValueError:
        raise _unusable("its port is none") from None
    if not parts.hostname:
        raise _unusable("it names no host")
    if unknown := options.keys() - OPTIONS:
        raise _unusable(f"it has no option '{min(unknown)}'")
    name = options.get("index", [DEFAULT_NAME])[-1]
    if not NAME.fullmatch(name):
        raise _unusable("'index' is up to 40 small letters, digits and '_', a letter first")
    (certificates,) = options.get("ca_certs", [None])[-1:]
    if certificates is not None and not Path(certificates).is_file():
        raise _unusable("'ca_certs' is no file")
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.ERROR)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    client = Elasticsearch(
        f"{SCHEMES[parts.scheme]}://{host}:{port}{parts.path}",
        request_timeout=TIMEOUT_S,
        max_retries=RETRIES,
        serializers={"application/json": OrjsonSerializer()},  # a thirtieth of the time for a vector
        **_who_asks(parts.username, parts.password),
        **_trusting(certificates),
    )
    return client, name


@contextmanager
def asking(*expected: type[ApiError]) -> Iterator[None]:
    """Ask Elasticsearch for something. Why that fails is for the log, which gets no address and nothing sent.

    Args:
        expected: failures that the one who asks knows what to do with.

    Raises:
        IndexUnavailable: any other.
    """
    try:
        yield
    except expected:
        raise
    except ApiError as error:
        raise unavailable(error) from error
    except TransportError as error:
        logger.warning("Elasticsearch can't be reached: %s", type(error).__name__)
        raise IndexUnavailable("The index doesn't answer; try again soon.") from error


def unavailable(error: ApiError) -> IndexUnavailable:
    """What a failure that nobody knows what to do with is to a caller; the log has its status and type."""
    described = error.body.get("error") if isinstance(error.body, dict) else None
    described = described if isinstance(described, dict) else {}
    reason = f": {described.get('reason')}" if error.status_code in FORBIDDEN else ""
    kind = described.get("type", type(error).__name__)
    logger.warning("Elasticsearch answers %d %s%s", error.status_code, kind, reason)
    return IndexUnavailable("The index can't do this now; try again soon.")


def whole(answer: ObjectApiResponse[Any]) -> Any:
    """An answer, unless a part of the index gave none: Elasticsearch would leave out what it has."""
    shards = answer["_shards"]
    if shards["failed"] or answer.get("timed_out"):
        logger.warning("%d of %d shards of Elasticsearch failed", shards["failed"], shards["total"])
        raise IndexUnavailable("A part of the index can't be searched now; try again soon.")
    return answer.body


def _who_asks(user: str | None, secret: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    secret = unquote(secret or "")
    return {"api_key": secret} if user == KEY_HOLDER else {"basic_auth": (unquote(user), secret)}


def _trusting(certificates: str | None) -> dict[str, Any]:
    return {} if certificates is None else {"ca_certs": certificates}


def _unusable(wrong: str) -> IndexUnusable:
    return IndexUnusable(f"INDEX_URL is wrong: {wrong}. Example: INDEX_URL={EXAMPLE}")
