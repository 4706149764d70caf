"""The service, as this process asks it: for the vector of a query, and how it is."""

import hashlib
import logging
import os
import time
from dataclasses import dataclass

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from tate_embeddings_client import Client, EmbeddingsError, ServiceError, SpaceChanged, TextEmbedding
from tate_embeddings_django import conf

logger = logging.getLogger("tate_embeddings_django")

# For how long it is taken for granted that the service has the model that it had.
SPACE_KEPT_S = 60
# How soon a command asks again whether the service is ready, and how long it waits for each answer.
PAUSE_S = 2.0
HEALTH_TIMEOUT_S = 10.0
# A change of what is kept of a query is a change of this.
PREFIX = "tate-embeddings:1"

# Threads share a client and its connections, processes don't.
_clients: dict[tuple[int, str, str, float], Client] = {}
# Those that were given up last: a thread may still be at work with one.
_given_up: list[Client] = []


@dataclass(frozen=True, slots=True)
class Sought:
    """The vector of a query, and the space that it may be compared in."""

    vector: tuple[float, ...]
    space: str


def query_vector(query: str) -> Sought | None:
    """The vector of a query, from the cache or the service; None, and a line in the log, if neither has it now."""
    now = conf.current()
    cache = caches[now.query_cache]
    space_key = f"{PREFIX}:space:{_digest(now.service_url)}"
    query_key = f"{PREFIX}:query:{_digest(now.service_url, query)}"
    kept = cache.get_many([space_key, query_key])
    known: Sought | None = kept.get(query_key)
    if known is not None and known.space == kept.get(space_key):
        return known
    try:
        found = _embedded(query)
    except (EmbeddingsError, ValueError) as error:  # the second of an address or a token that can be none
        logger.warning("The query has no vector%s: %s", "" if known is None else ", but one of before", error)
        return known  # for as long as the service is away, what it said before is the best there is
    cache.set(space_key, found.space, SPACE_KEPT_S)
    sought = Sought(found.vector, found.space)
    cache.set(query_key, sought, now.query_cache_s)
    return sought


class NotReady(Exception):
    """The service is there, and doesn't embed."""


def current_space() -> str:
    """The space of the service's vectors. One that is starting is waited for.

    Raises:
        EmbeddingsError: it can't be reached, or is something else.
        NotReady: it isn't ready for as long as a command waits (`EMBED_TIMEOUT_S`).
        ImproperlyConfigured: its address or token can be none.
    """
    now = conf.current()
    patient_until = time.monotonic() + now.embed_timeout_s
    try:
        client = Client(now.service_url, now.service_token, timeout_s=min(HEALTH_TIMEOUT_S, now.embed_timeout_s))
    except ValueError as error:
        raise ImproperlyConfigured(f"SERVICE_URL or SERVICE_TOKEN is wrong: {error}") from None
    with client:
        while True:
            try:
                health = client.health()
            except ServiceError as error:
                if not error.retryable:
                    raise
                how = str(error)
            else:
                if health.ready and health.space:
                    return health.space
                how = f"it says it is {health.status}"
            if time.monotonic() + PAUSE_S > patient_until:
                raise NotReady(how)
            time.sleep(PAUSE_S)


def forget() -> None:
    """Close the connections to the service; the next query makes new ones."""
    _give_up()
    _give_up()


def _embedded(query: str) -> TextEmbedding:
    try:
        return _client().embed_text(query)
    except SpaceChanged:  # a client insists on the space that it saw first
        _give_up()
        return _client().embed_text(query)


def _give_up() -> None:
    while _given_up:
        _given_up.pop().close()
    while _clients:
        _given_up.append(_clients.popitem()[1])


def _client() -> Client:
    now = conf.current()
    key = (os.getpid(), now.service_url, now.service_token, now.search_timeout_s)
    if key not in _clients:
        _clients.setdefault(key, Client(now.service_url, now.service_token, timeout_s=now.search_timeout_s))
    return _clients[key]


def _digest(*parts: str) -> str:
    """A part of a key: caches take neither blanks nor anything long."""
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()
