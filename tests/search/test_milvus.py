"""What is particular to Milvus: its addresses, Milvus Lite's one process, and filters that it can't tell exactly."""

import fcntl
import json
import logging
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from unittest import mock
from urllib.parse import urlsplit

import pytest
from app.errors import IndexUnavailable, IndexUnusable, TooLarge
from app.search.filters import parsed
from app.search.milvus import opened
from app.search.milvus.connection import Connection, understood
from app.search.store import Item, Store
from dotenv import load_dotenv
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from pymilvus import MilvusClient, MilvusException
from pymilvus.grpc_gen import common_pb2

from tests.search.conftest import DIMENSIONS, SPACE, closing, random_items, unit
from tests.search.stores.milvus_server import StandIn, serving

ROOT = Path(__file__).parents[2]
OLD, NEW = Item("old", unit(1), {"year": 1900}), Item("new", unit(1), {"year": 1950})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    """An index in Milvus Lite."""
    with closing(opened(f"milvus://{file}")) as store:
        yield store


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[tuple[StandIn, str]]:
    with serving(tmp_path / "cluster.db", StandIn) as served:
        yield served


@pytest.fixture
def cluster(stand_in: tuple[StandIn, str]) -> StandIn:
    """What passes for Milvus."""
    return stand_in[0]


@pytest.fixture
def in_cluster(stand_in: tuple[StandIn, str]) -> Iterator[Store]:
    """An index there."""
    with closing(opened(stand_in[1])) as store:
        yield store


@contextmanager
def client_of(url: str) -> Iterator[MilvusClient]:
    address, _ = understood(url)
    connection = Connection(address)
    with connection.asking() as client:
        yield client
    connection.close()


def found(store: Store, where: Mapping[str, Any] | None = None, limit: int = 10) -> list[str]:
    return [each.id for each in store.search(unit(1), limit, parsed(where or {}), SPACE)]


# What a process does beside its script: it notes whom Python's sockets are for, from before anything is imported.
WATCHED = """
import sys
addresses = []
def note(event, arguments):
    if event == "socket.connect":
        addresses.append(arguments[1][0])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        addresses.append(arguments[0])
sys.addaudithook(note)
"""


@contextmanager
def another_process(script: str, file: Path) -> Iterator["subprocess.Popen[str]"]:
    """One that has the file when it has said so."""
    code = f"{WATCHED}\nfrom tests.search.test_milvus import *\nstore = opened('milvus://{file}')\n{script}"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class Neighbour:
    """Another process, and the file that it has. What is said to it, it answers with the addresses that it knows of."""

    file: Path
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbour]:
    file = tmp_path_factory.mktemp("neighbour") / "index.db"
    script = """
store.upsert(random_items(50), SPACE)
found(store, {"parity": "odd"})
store.settle()
print("ready", flush=True)
while input():
    print(json.dumps([*addresses, *connected_to()]), flush=True)
"""
    with another_process(script, file) as process:
        yield Neighbour(file, process)


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "milvus:///a.db?index=Upper",
        "milvus:///a.db?index=",
        "milvus:///a.db?index=1st",
        f"milvus:///a.db?index={'a' * 41}",
        "milvus:///a.db?index=a;drop",
        "milvus:///a.db?indx=a",
        "milvus+http://u:secret@host:port",
        "milvus+http://u:secret@host:99999",
        "milvus+http://u:secret@host/database",
        "milvus+http://u:secret@[::1]:19530",
        "milvus+https://u:secret@:19530",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(IndexUnusable, match="INDEX_URL") as caught:
        opened(url)

    assert "secret" not in str(caught.value)


def test_opening_asks_nothing(free_port: int, file: Path) -> None:
    opened(f"milvus+http://127.0.0.1:{free_port}").close()
    opened(f"milvus://{file}").close()

    assert not file.exists()


def test_indexes_of_one_file_are_apart(store: Store, file: Path) -> None:
    store.upsert([OLD], SPACE)

    with closing(opened(f"milvus://{file}?index=tate")) as other:
        with other.anew() as fresh:
            fresh.upsert([NEW], SPACE)
        assert found(other) == ["new"]

    assert found(store) == ["old"]


# Failures


@pytest.mark.parametrize("listens", [False, True])
def test_a_server_that_is_not_there_is_said_to_be_unavailable_soon(
    free_port: int, listens: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.search.milvus.connection.CONNECT_S", 0.2)
    caplog.set_level(logging.DEBUG)
    url = f"milvus+http://u:secret@127.0.0.1:{free_port}"
    silent = socket.create_server(("127.0.0.1", free_port)) if listens else nullcontext()
    begun = time.monotonic()
    with silent, closing(opened(url)) as store, pytest.raises(IndexUnavailable) as caught:
        store.about()

    assert time.monotonic() < begun + 5  # the client's own patience is twice as long
    assert "127.0.0.1" not in caught.value.detail
    assert "secret" not in caplog.text


def test_who_comes_while_another_waits_for_the_server_does_not_wait_for_longer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.search.milvus.connection.CONNECT_S", 0.05)
    is_connecting, may_end = threading.Event(), threading.Event()

    def connect(*_: Any) -> Any:
        is_connecting.set()
        may_end.wait()
        raise IndexUnavailable("")

    monkeypatch.setattr("app.search.milvus.connection._connected", connect)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(store.about)
        is_connecting.wait()
        with pytest.raises(IndexUnavailable, match="doesn't answer"):
            store.about()
        may_end.set()
        assert first.exception() is not None


def test_a_server_that_comes_back_is_found_again(file: Path) -> None:
    with serving(file, StandIn) as (_, url):
        store = opened(url)
        store.upsert([OLD], SPACE)
    with closing(store):
        with pytest.raises(IndexUnavailable):
            store.about()

        with serving(file, StandIn, urlsplit(url).port or 0):
            assert found(store) == ["old"]


def test_a_collection_that_is_not_loaded_any_more_is_loaded(stand_in: tuple[StandIn, str], in_cluster: Store) -> None:
    in_cluster.upsert([OLD], SPACE)
    with client_of(stand_in[1]) as client:
        client.release_collection(in_cluster.about().details["collection"])

    assert found(in_cluster) == ["old"]


def test_a_search_goes_on_in_what_has_taken_the_collection_s_place(store: Store, file: Path) -> None:
    store.upsert([OLD], SPACE)

    def replace() -> None:
        with closing(opened(f"milvus://{file}")) as other, other.anew() as fresh:
            fresh.upsert([NEW], SPACE)

    with just_before("search", replace):
        assert found(store) == ["new"]


def test_who_begins_an_index_second_adds_to_it(stand_in: tuple[StandIn, str], in_cluster: Store) -> None:
    def begin() -> None:
        with closing(opened(stand_in[1])) as other:
            other.upsert([OLD], SPACE)

    with just_before("create_collection", begin):
        in_cluster.upsert([NEW], SPACE)

    assert sorted(found(in_cluster)) == ["new", "old"]
    assert len(stand_in[0].database.list_collections()) == 1


@contextmanager
def just_before(method: str, happens: Callable[[], None]) -> Iterator[None]:
    """Something happens once, when the client has been told to do something and before it does."""
    original = getattr(MilvusClient, method)
    yet_to_happen = [happens]

    def late(*args: Any, **options: Any) -> Any:
        if yet_to_happen:
            yet_to_happen.pop()()
        return original(*args, **options)

    with mock.patch.object(MilvusClient, method, late):
        yield


def test_a_collection_of_other_making_is_left_alone(store: Store, file: Path) -> None:
    with client_of(f"milvus://{file}") as client:
        client.create_collection("theirs", dimension=DIMENSIONS)
        client.create_alias("theirs", "tate_embeddings")

    with pytest.raises(IndexUnavailable, match="another program"):
        store.upsert([OLD], SPACE)


@pytest.mark.parametrize("method", ["get_server_version", "create_alias", "search"])
def test_what_milvus_fails_at_is_unavailable_and_can_be_tried_again(store: Store, file: Path, method: str) -> None:
    def fail() -> None:
        raise MilvusException(message="what nobody is to read")

    def use() -> None:
        store.upsert([OLD], SPACE)
        found(store)

    with just_before(method, fail), pytest.raises(IndexUnavailable) as caught:
        use()
    assert "nobody" not in caught.value.detail

    store.upsert([OLD], SPACE)
    assert found(store) == ["old"]
    assert len([*file.glob("collections/*")]) == 1


@pytest.mark.parametrize("what", ["", "collections"])
def test_a_file_of_something_else_is_unavailable(store: Store, file: Path, what: str) -> None:
    (file / what).parent.mkdir(exist_ok=True)
    (file / what).write_text("not a folder")

    with pytest.raises(IndexUnavailable, match="file"):
        store.about()


def test_to_put_nothing_in_begins_nothing(store: Store) -> None:
    store.upsert([], SPACE)

    assert store.about().space is None


# Milvus Lite's one process


@pytest.mark.slow
def test_a_second_process_is_told_that_one_only_can_have_the_file(neighbour: Neighbour) -> None:
    url = f"milvus://{neighbour.file}"
    with closing(opened(url)) as store, pytest.raises(IndexUnavailable, match="WORKERS=1") as caught:
        store.about()

    assert str(neighbour.file) not in caught.value.detail


def test_the_file_is_free_when_the_last_store_is_closed(file: Path) -> None:
    first, second = opened(f"milvus://{file}"), opened(f"milvus://{file}")
    first.upsert([OLD], SPACE)
    assert found(second) == ["old"]

    first.close()
    assert not _is_free(file)
    second.close()
    assert _is_free(file)
    assert found(second) == ["old"]
    second.close()


def _is_free(file: Path) -> bool:
    with (file / "LOCK").open("r+") as lock, suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def test_the_library_reads_no_env_file_into_this_process(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SOMETHING_ELSE=1")

    assert not load_dotenv(tmp_path / ".env")


def connected_to() -> set[str]:
    """The addresses that this process has connections to, whoever has made them."""
    links = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    ours = {link.name.removeprefix("socket:[").removesuffix("]") for link in links}
    addresses = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            _, _, remote, _, _, _, _, _, _, inode, *_ = line.split()
            words = bytes.fromhex(remote.partition(":")[0])
            address = b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))
            if inode in ours and any(address):  # those who listen have none
                addresses.add(socket.inet_ntop(family, address))
    return addresses


@pytest.mark.slow
def test_nothing_is_sent_beyond_loopback(neighbour: Neighbour) -> None:
    assert neighbour.process.stdin is not None
    assert neighbour.process.stdout is not None
    print("whom to?", file=neighbour.process.stdin, flush=True)

    addresses = json.loads(neighbour.process.stdout.readline())

    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}


# Beginning anew


def test_nobody_changes_what_is_about_to_be_replaced(store: Store, file: Path) -> None:
    store.upsert([OLD], SPACE)
    with closing(opened(f"milvus://{file}")) as other:
        with store.anew() as fresh:
            fresh.upsert([NEW], SPACE)
            with pytest.raises(IndexUnavailable, match="anew"):
                other.upsert([OLD], SPACE)
            with pytest.raises(IndexUnavailable, match="anew"):
                other.delete(["old"])
            assert found(other) == ["old"]

        other.upsert([OLD], SPACE)
    assert sorted(found(store)) == ["new", "old"]


@pytest.mark.slow
def test_what_a_killed_process_has_begun_anew_is_forgotten(store: Store, file: Path) -> None:
    script = """
store.upsert([OLD], SPACE)
with store.anew() as fresh:
    fresh.upsert([NEW], SPACE)
    print("ready", flush=True)
    input()
"""
    with another_process(script, file) as process:
        with pytest.raises(IndexUnavailable):
            store.about()
        process.kill()

    assert found(store) == ["old"]
    with pytest.raises(IndexUnavailable, match="anew"):
        store.upsert([NEW], SPACE)
    with store.anew() as fresh:
        fresh.upsert([OLD, NEW], SPACE)
    assert sorted(found(store)) == ["new", "old"]
    store.upsert([NEW], SPACE)
    assert len([*file.glob("collections/*")]) == 1


def test_whoever_was_killed_holds_on_for_a_while_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.search.milvus.collections.HOLD_S", 0)
    store.upsert([OLD], SPACE)

    with store.anew():
        store.upsert([NEW], SPACE)


def test_an_index_anew_without_items_is_none(store: Store) -> None:
    store.upsert([OLD], SPACE)

    with store.anew():
        pass

    assert store.about().space is None
    assert found(store) == []


# Filters


def test_a_range_is_of_one_value_where_a_field_has_several(store: Store) -> None:
    around = [Item(f"around {number}", unit(1, 0.001 * number), {"year": [1800, 2000]}) for number in range(40)]
    store.upsert([*around, Item("within", unit(0, 1), {"year": [1700, 1905]})], SPACE)

    assert found(store, {"year": {"gte": 1900, "lte": 1910}}, limit=1) == ["within"]
    assert found(store, {"year": {"gte": 2000}}, limit=2) == ["around 0", "around 1"]


def test_strings_that_begin_alike_for_long_are_told_apart(store: Store) -> None:
    start = "https://media.example.org/collection/" * 3
    store.upsert(
        [Item(letter, unit(1, 0.1 * place), {"url": start + letter}) for place, letter in enumerate("abc")], SPACE
    )

    assert found(store, {"url": {"gte": start + "b"}}) == ["b", "c"]
    assert found(store, {"url": {"gte": start + "b", "lte": start + "b"}}) == ["b"]


def test_an_item_with_more_values_than_milvus_has_room_for_is_found_all_the_same(store: Store) -> None:
    many = Item("many", unit(1, 0.1), {"tags": [f"tag {number}" for number in range(5000)], "year": 1900})
    store.upsert([OLD, many], SPACE)

    assert found(store, {"tags": "tag 4999"}) == ["many"]
    assert found(store, {"tags": "tag 5000"}) == []
    assert found(store, {"year": {"gte": 1900}}) == ["old", "many"]
    assert store.has_field("tags")
    assert not store.has_field("maker")


def test_more_metadata_than_can_be_kept_is_refused(store: Store) -> None:
    with pytest.raises(TooLarge, match="16 MiB"):
        store.upsert([Item("one", unit(1), {"text": "x" * 17_000_000})], SPACE)


VALUES = [
    0,
    1,
    -1,
    1.5,
    -1.5,
    2**53,
    2**53 + 1,
    -(2**1000),
    5e-324,
    8e307,
    True,
    False,
    "",
    "0",
    "1",
    "a",
    "ab",
    "é",
    "😀",
]


def _is_so(metadata: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    def kind(value: Any) -> type:
        return next(kind for kind in (bool, str, object) if isinstance(value, kind))

    def is_one(value: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            alike = all(kind(bound) == kind(value) for bound in wanted.values())
            return alike and wanted.get("gte", value) <= value <= wanted.get("lte", value)
        return any(kind(each) == kind(value) and each == value for each in wanted)

    return all(any(is_one(value, wanted) for value in metadata.get(field, [])) for field, wanted in where.items())


@pytest.fixture(params=["lite", "cluster"])
def either(request: pytest.FixtureRequest) -> Store:
    """An index in Milvus Lite, and one in what passes for Milvus."""
    if request.param == "lite":
        return cast(Store, request.getfixturevalue("store"))
    return cast(Store, request.getfixturevalue("in_cluster"))


@pytest.mark.slow
def test_filters_let_through_the_same_in_milvus_as_in_milvus_lite(either: Store) -> None:
    chance = random.Random(0)

    def some() -> list[Any]:
        return chance.sample(VALUES, chance.choice([1, 1, 2, 3]))

    items = [Item(str(number), unit(1, number), {"a": some(), "b": some()}) for number in range(100)]
    either.upsert(items, SPACE)
    numbers: list[Any] = [value for value in VALUES if not isinstance(value, str | bool)]
    strings: list[Any] = [value for value in VALUES if isinstance(value, str)]

    for _ in range(15):
        kind = chance.choice([numbers, strings])
        bounds: dict[str, Any] = dict(
            zip(chance.choice([["gte"], ["lte"], ["gte", "lte"]]), chance.sample(kind, 2), strict=False)
        )
        for where in ({"a": some()}, {"a": bounds}, {"a": some(), "b": bounds}):
            expected = {item.id for item in items if _is_so(item.metadata, where)}
            assert set(found(either, where, limit=200)) == expected, where


def test_a_long_list_of_values_finds_each_of_them(store: Store) -> None:
    store.upsert([Item(str(number), unit(1, number), {"number": number}) for number in range(100)], SPACE)

    assert len(found(store, {"number": [*range(30, 100)]}, limit=100)) == 70


# What passes for Milvus


def test_milvus_is_asked_for_graphs_of_vectors_an_index_of_tokens_and_the_latest(
    cluster: StandIn, in_cluster: Store
) -> None:
    in_cluster.upsert(random_items(20), SPACE)
    found(in_cluster, limit=200)

    vector, tokens = cluster.of("CreateIndex")
    assert {"index_type": "HNSW", "metric_type": "COSINE"}.items() <= _pairs(vector.extra_params).items()
    assert (tokens.field_name, _pairs(tokens.extra_params)["index_type"]) == ("tokens", "INVERTED")
    (collection,) = cluster.of("CreateCollection")
    assert collection.consistency_level == common_pb2.ConsistencyLevel.Strong
    (search,) = cluster.of("Search")
    assert json.loads(_pairs(search.search_params)["params"])["ef"] == 200


def _pairs(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def test_who_asks_is_said_with_each_request(cluster: StandIn, in_cluster: Store) -> None:
    in_cluster.upsert([OLD], SPACE)

    assert {headers["authorization"] for _, headers in cluster.asked} == {"c29tZW9uZTphIHNlY3JldA=="}


def test_what_a_graph_leaves_out_is_found_by_comparing(cluster: StandIn, in_cluster: Store) -> None:
    items = random_items(60)
    in_cluster.upsert(items, SPACE)
    cluster.found_share = 0.5

    ids = found(in_cluster, {"parity": "odd"}, limit=40)

    assert ids == [
        item.id for item in sorted(items, key=lambda item: -item.vector[0]) if item.metadata["parity"] == "odd"
    ]


def test_milvus_itself_finds_what_it_can_tell_exactly(cluster: StandIn, in_cluster: Store) -> None:
    in_cluster.upsert(random_items(60), SPACE)

    assert len(found(in_cluster, {"number": {"gte": 10, "lte": 19}, "parity": ["odd", 1]}, limit=50)) == 5
    assert not [query for query in cluster.of("Query") if "vector" in query.output_fields]


def test_a_server_of_milvus_lite_is_asked_as_milvus_lite_is(file: Path) -> None:
    with serving(file, MilvusServicer) as (_, url), closing(opened(url)) as store:
        store.upsert([OLD], SPACE)
        with store.anew() as fresh:
            fresh.upsert([NEW], SPACE)

        assert found(store, {"year": [1950]}) == ["new"]
