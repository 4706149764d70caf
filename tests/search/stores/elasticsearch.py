"""The stand-in for an Elasticsearch (`tests/search/elasticsearch/`): there is no real one here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.search.elasticsearch.stand_in import standing_in


@contextmanager
def index_url(folder: Path) -> Iterator[str]:
    with standing_in() as stand_in:
        yield stand_in.url
