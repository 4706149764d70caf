"""An item as a row of a collection, and the other way around."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from app.errors import TooLarge
from app.search.milvus import expressions
from app.search.store import MAX_ID_BYTES, Item

# As long as a string of Milvus can be. Metadata is ASCII, so that it can be cut anywhere.
PIECE_BYTES = 65_535
MOST_PIECES = 256
DIGEST_BYTES = 512
# Milvus takes 64 MiB at once; what filters see of an item isn't counted here.
BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 1000

KEY = "key"
VECTOR = "vector"
METRIC = "COSINE"
OUTPUT = ["id", VECTOR, "metadata", "digest"]

# The graph of each segment. In one of 20,000 clustered vectors of 512 numbers, 0.998 of the ten nearest were found with
# an `ef` of 32, and all with 64; segments may be 20 times as large.
HNSW = {"M": 16, "efConstruction": 200}
LEAST_EF = 128


def schema(dimensions: int) -> Any:
    """What a collection is made of. Ids may be anything, and are put into expressions as digests."""
    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    made.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=32)
    made.add_field("id", DataType.VARCHAR, max_length=MAX_ID_BYTES)
    made.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimensions)
    made.add_field(
        "metadata",
        DataType.ARRAY,
        element_type=DataType.VARCHAR,
        max_length=PIECE_BYTES,
        max_capacity=MOST_PIECES,
    )
    made.add_field("digest", DataType.VARCHAR, max_length=DIGEST_BYTES)
    made.add_field("tokens", DataType.ARRAY, element_type=DataType.INT64, max_capacity=expressions.MOST_TOKENS)
    made.add_field("words", DataType.VARCHAR, max_length=PIECE_BYTES)
    return made


def indexes(*, is_lite: bool) -> Any:
    """How a collection is searched.

    Milvus Lite goes through all items for each search in any case, so that comparing their vectors adds little. Milvus
    itself builds graphs of segments that have more than about a thousand, and compares one by one in the others.
    """
    made = MilvusClient.prepare_index_params()
    if is_lite:
        made.add_index(VECTOR, index_type="FLAT", metric_type=METRIC)
    else:
        made.add_index(VECTOR, index_type="HNSW", metric_type=METRIC, params=HNSW)
        made.add_index("tokens", index_type="INVERTED")
    return made


def search_params(limit: int) -> dict[str, Any]:
    """How far a graph is walked: Milvus wants it to be as far as there are results, at least."""
    return {"metric_type": METRIC, "params": {"ef": max(limit, LEAST_EF)}}


def batches(items: Iterable[Item]) -> Iterator[list[dict[str, Any]]]:
    """Items as rows, as many at a time as Milvus takes.

    Raises:
        TooLarge: there is too much metadata of one of them.
    """
    batch: list[dict[str, Any]] = []
    size = 0
    for item in items:
        row = _row(item)
        batch.append(row)
        size += item.vector.nbytes + sum(map(len, row["metadata"]))
        if size > BATCH_BYTES or len(batch) == BATCH_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def item(row: Mapping[str, Any]) -> Item:
    """The item that a row is."""
    return Item(row["id"], np.array(row[VECTOR], np.float32), metadata(row), row["digest"])


def metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """An item's metadata, from its pieces."""
    read: dict[str, Any] = json.loads("".join(row["metadata"]))
    return read


def with_ids(ids: Sequence[str]) -> Iterator[str]:
    """Expressions that together ask for the rows of these ids."""
    for start in range(0, len(ids), BATCH_ROWS):
        keys = [_key(each) for each in ids[start : start + BATCH_ROWS]]
        yield f"{KEY} in {json.dumps(keys)}"


def _row(item: Item) -> dict[str, Any]:
    text = json.dumps(dict(item.metadata))
    pieces = [text[start : start + PIECE_BYTES] for start in range(0, len(text), PIECE_BYTES)]
    if len(pieces) > MOST_PIECES:
        raise TooLarge("An item has more metadata than Milvus can keep, which is 16 MiB.")
    own = {KEY: _key(item.id), "id": item.id, VECTOR: item.vector, "metadata": pieces, "digest": item.digest}
    return own | expressions.seen(item.metadata)


def _key(identity: str) -> str:
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
