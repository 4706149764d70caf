"""What is particular to an index in PostgreSQL."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from app.errors import IndexUnavailable, IndexUnusable, SpaceMismatch
from app.search.filters import parsed
from app.search.postgresql import connections, nearest, opened, schema
from app.search.postgresql import store as stores
from app.search.postgresql.conditions import in_sql
from app.search.store import Item, Store
from psycopg import sql

from tests.search.conftest import OTHER_SPACE, SPACE, closing, random_items, unit
from tests.search.stores.postgresql import administrator, new_database, stopped, url

ONE = Item("one", unit(1), {"number": 1}, "digest")
EVERYTHING = parsed({})
SOON_MS = 100
ROOT = Path(__file__).parents[2]


@pytest.fixture
def database() -> str:
    return new_database()


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with closing(opened(url(database))) as store:
        yield store


@pytest.fixture
def indexed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of many vectors is made of a few."""
    monkeypatch.setattr(nearest, "EXACT_UP_TO", 50)
    monkeypatch.setattr(stores, "LARGE_CHANGE", 20)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long for what others hold."""
    for name in ("SEARCHING", "CHANGING", "BEGINNING_ANEW"):
        monkeypatch.setattr(stores, name, {**getattr(stores, name), "lock_timeout": SOON_MS})
    monkeypatch.setattr(schema, "SWAP_TRIES_MS", SOON_MS)
    monkeypatch.setattr(schema, "SWAP_PAUSE_S", 0)


def ids(store: Store, limit: int = 10, **where: object) -> list[str]:
    return [found.id for found in store.search(unit(1), limit, parsed(where), SPACE)]


def tables(database: str) -> set[str]:
    """Everything that has a name in a database, but for what belongs to PostgreSQL."""
    with administrator(database) as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return {name for (name,) in rows}


def role(name: str, *rights: str, database: str) -> str:
    """The URL of a user who may do this and nothing else."""
    name = f"{name}_of_{database}"
    with administrator(database) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        for right in rights:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(right), sql.Identifier(name)))
    return url(database, user=name)


@pytest.mark.parametrize("name", ["", "Works", "1st", "a-b", "a" * 41, "a%20b", 'a";--'])
def test_an_index_that_cant_be_named_so_is_refused(name: str) -> None:
    with pytest.raises(IndexUnusable, match="small letters"):
        opened(f"postgresql://localhost/x?connect_timeout=3&index={name}")


@pytest.mark.parametrize(
    "address", ["postgresql://user:pass%word@host/x", "postgresql://host/x?secret=1", "postgresql://[::1/x"]
)
def test_a_url_that_libpq_doesnt_understand_is_refused_without_quoting_it(address: str) -> None:
    with pytest.raises(IndexUnusable, match="libpq") as caught:
        opened(address)

    assert "pass%word" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_name_is_ours_and_the_rest_is_libpqs() -> None:
    conninfo, name = connections.understood("postgres://u:p%26w@h:1/x?sslmode=require&index=w_1&connect_timeout=9")

    assert name == "w_1"
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    assert (given["password"], given["sslmode"], given["connect_timeout"]) == ("p&w", "require", "9")
    assert connections.understood("postgresql://h/x")[1] == "tate_embeddings"


# What doesn't answer, and what refuses


def test_opening_asks_nothing_and_a_server_that_isnt_there_is_said_so_at_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and doesn't listen
        with closing(opened(f"postgresql://user:pw@127.0.0.1:{nobody.getsockname()[1]}/x")) as store:
            begun = time.monotonic()
            with pytest.raises(IndexUnavailable) as caught:
                store.about()

    assert time.monotonic() - begun < connections.CONNECT_S
    assert "127.0.0.1" not in caught.value.detail


@pytest.mark.slow
def test_a_server_that_comes_back_is_used_again(store: Store) -> None:
    store.upsert([ONE], SPACE)

    with stopped():
        for call in (store.about, store.digests, lambda: store.upsert([ONE], SPACE), lambda: ids(store)):
            with pytest.raises(IndexUnavailable):
                call()

    assert ids(store) == ["one"]


def test_connections_that_the_server_has_closed_are_noticed_before_they_are_used(store: Store, database: str) -> None:
    store.upsert([ONE], SPACE)
    with administrator() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))

    assert ids(store) == ["one"]


def test_who_gets_no_connection_in_time_is_told(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(connections, "CONNECT_S", 0)
    with closing(opened(url(database))) as store:
        store.upsert([ONE, replace(ONE, id="two")], SPACE)
        reading = store.items()
        next(reading)

        with pytest.raises(IndexUnavailable):
            store.about()

        assert len([*reading]) == 1
        assert store.about().count == 2


def test_a_search_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch, store: Store, database: str) -> None:
    store.upsert([ONE], SPACE)
    monkeypatch.setattr(stores, "SEARCHING", {"statement_timeout": SOON_MS})

    with administrator(database) as connection, connection.transaction():
        connection.execute("LOCK TABLE tate_embeddings IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(IndexUnavailable, match="slow"):
            ids(store)

    assert ids(store) == ["one"]


def test_who_may_only_connect_finds_the_index_empty_and_can_begin_none(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(opened(role("guest", database=database))) as store:
        assert store.about().count == 0
        assert ids(store) == []
        assert store.delete(["one"]) == 0
        store.settle()
        with pytest.raises(IndexUnavailable, match="pgvector"):
            store.upsert([ONE], SPACE)

    assert "CREATE EXTENSION vector" in caplog.text
    assert tables(database) == set()


def test_who_may_only_read_searches_and_changes_nothing(
    store: Store, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.upsert([ONE], SPACE)

    with closing(opened(role("reader", "SELECT ON ALL TABLES IN SCHEMA public", database=database))) as reading:
        assert ids(reading, number=1) == ["one"]
        assert reading.has_field("number")
        assert [item.id for item in reading.items()] == ["one"]
        with pytest.raises(IndexUnavailable, match="let"):
            reading.delete(["one"])

    assert "permission denied" in caplog.text
    assert store.about().count == 1


def test_without_pgvector_on_the_server_the_log_says_what_to_do(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = url(database, options="-c extension_control_path=/nowhere")
    with closing(opened(nowhere)) as store, pytest.raises(IndexUnavailable, match="pgvector"):
        store.upsert([ONE], SPACE)

    assert "CREATE EXTENSION vector" in caplog.text


def test_too_old_a_pgvector_is_refused(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with administrator(database) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")

    with closing(opened(url(database))) as store, pytest.raises(IndexUnavailable, match="old"):
        store.upsert([ONE], SPACE)

    assert "ALTER EXTENSION vector UPDATE" in caplog.text


def test_pgvector_where_it_isnt_looked_for_is_missed(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with administrator(database) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("CREATE EXTENSION vector SCHEMA elsewhere")

    with closing(opened(url(database))) as store, pytest.raises(IndexUnavailable, match="let"):
        store.upsert([ONE], SPACE)

    assert 'type "vector' in caplog.text
    with closing(opened(url(database, options="-c search_path=public,elsewhere"))) as store:
        store.upsert([ONE], SPACE)
        assert ids(store) == ["one"]


# Tables


def test_nothing_put_in_begins_nothing(store: Store, database: str) -> None:
    store.upsert([], SPACE)

    assert tables(database) == set()


def test_processes_that_begin_at_once_dont_hinder_each_other(database: str) -> None:
    together = threading.Barrier(4)
    failures: list[BaseException] = []

    def begin(number: int) -> None:
        try:
            with closing(opened(url(database, index=f"works_{number % 2}"))) as store:
                store.about()
                together.wait()
                store.upsert([replace(ONE, id=f"item-{number}")], SPACE)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with closing(opened(url(database, index="works_1"))) as store:
        assert sorted(store.digests()) == ["item-1", "item-3"]


def test_what_a_newer_program_has_written_is_left_alone(
    store: Store, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.upsert([ONE], SPACE)
    with administrator(database) as connection:
        connection.execute('INSERT INTO "tate_embeddings$schema" (version) VALUES (%s)', (len(schema.MIGRATIONS) + 1,))

    for call in (store.about, lambda: ids(store), lambda: store.upsert([ONE], SPACE), lambda: store.delete(["one"])):
        with pytest.raises(IndexUnavailable, match="newer"):
            call()
    with closing(opened(url(database, index="another"))) as another, pytest.raises(IndexUnavailable, match="newer"):
        another.upsert([ONE], SPACE)

    assert "run the newer program" in caplog.text


def test_what_an_older_program_has_written_is_brought_up_to_date(
    monkeypatch: pytest.MonkeyPatch, store: Store, database: str
) -> None:
    store.upsert([ONE], SPACE)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE later ()"))
    assert ids(store) == ["one"]

    store.upsert([replace(ONE, id="two")], SPACE)
    store.upsert([replace(ONE, id="three")], SPACE)

    assert "later" in tables(database)
    assert store.about().count == 3


def test_another_programs_table_is_never_taken_for_an_index(
    store: Store, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with administrator(database) as connection:
        connection.execute("CREATE TABLE tate_embeddings (id integer)")
        connection.execute("INSERT INTO tate_embeddings VALUES (7)")

    assert store.about().count == 0
    with pytest.raises(IndexUnavailable, match="another table"):
        store.upsert([ONE], SPACE)
    with pytest.raises(IndexUnavailable, match="another table"), store.anew() as fresh:
        fresh.upsert([ONE], SPACE)

    assert "name another" in caplog.text
    with administrator(database) as connection:
        assert connection.execute("SELECT id FROM tate_embeddings").fetchall() == [(7,)]


def test_an_index_whose_table_was_dropped_by_hand_is_empty_and_can_be_begun_again(store: Store, database: str) -> None:
    store.upsert([ONE], SPACE)
    with administrator(database) as connection:
        connection.execute("DROP TABLE tate_embeddings")

    assert store.about().space is None
    store.upsert([replace(ONE, vector=unit(1, dimensions=8))], OTHER_SPACE)

    assert (store.about().space, store.about().dimensions) == (OTHER_SPACE, 8)
    with administrator(database) as connection:
        connection.execute("DROP TABLE tate_embeddings")
    with store.anew() as fresh:
        fresh.upsert([ONE], SPACE)
    assert ids(store) == ["one"]


def test_the_first_items_must_be_of_one_length(store: Store, database: str) -> None:
    with pytest.raises(SpaceMismatch, match="16"):
        store.upsert([ONE, replace(ONE, id="two", vector=unit(1, dimensions=16))], SPACE)

    assert tables(database) == set()


def test_items_that_are_there_already_arent_written_again(store: Store, database: str) -> None:
    store.upsert([ONE, replace(ONE, id="two")], SPACE)
    with administrator(database) as connection:
        before = dict(connection.execute("SELECT id, ctid FROM tate_embeddings").fetchall())

        store.upsert([ONE, replace(ONE, id="two", digest="another")], SPACE)

        after = dict(connection.execute("SELECT id, ctid FROM tate_embeddings").fetchall())
    assert after["one"] == before["one"]
    assert after["two"] != before["two"]


def test_who_put_in_the_same_at_once_dont_wait_for_each_other_for_ever(store: Store) -> None:
    items = random_items(200)
    failures: list[BaseException] = []

    def put_in(items: list[Item], digest: str) -> None:
        try:
            for number in range(10):
                store.upsert([replace(item, digest=f"{digest} {number}") for item in items], SPACE)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put_in, args=each) for each in ((items, "a"), (items[::-1], "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert store.about().count == 200


# The index over vectors


def plan(index_url: str, **where: object) -> str:
    """How the database goes about a search."""
    conditions, parameters = in_sql(parsed(where))
    query = sql.SQL("EXPLAIN {}").format(
        sql.SQL(nearest.SEARCH).format(items=sql.Identifier("tate_embeddings"), where=conditions)
    )
    with psycopg.connect(index_url) as connection:
        connections.apply(connection, nearest.settings(10))
        rows = connection.execute(query, [str(unit(1).tolist()), *parameters, 10]).fetchall()
    return "\n".join(line for (line,) in rows)


def test_few_vectors_are_all_compared(store: Store, database: str) -> None:
    store.upsert(random_items(100), SPACE)

    store.settle()

    assert store.about().details["search"] == "exact"
    assert schema.nearest_of("tate_embeddings") not in tables(database)


def test_a_large_change_is_indexed_when_it_ends_and_small_ones_as_soon_as_it_pays(
    indexed_early: None, database: str
) -> None:
    with closing(opened(url(database, index="large"))) as store:
        store.upsert(random_items(60), SPACE)
        assert store.about().details["search"] == "exact"
        store.settle()
        assert store.about().details["search"] == "HNSW"

    with closing(opened(url(database, index="small"))) as store:
        items = random_items(60)
        for start in range(0, 45, 15):
            store.upsert(items[start : start + 15], SPACE)
        assert store.about().details["search"] == "exact"
        store.upsert(items[45:], SPACE)
        assert store.about().details["search"] == "HNSW"
        store.upsert([ONE], SPACE)
        assert ids(store, 1) == ["one"]


def test_what_was_put_in_stays_so_where_the_index_over_vectors_cant_be_made(
    indexed_early: None, impatient: None, store: Store, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    items = random_items(60)
    store.upsert(items[:50], SPACE)

    with administrator(database) as connection, connection.transaction():
        connection.execute("LOCK TABLE tate_embeddings IN ROW EXCLUSIVE MODE")  # as somebody has who changes it
        store.upsert(items[50:], SPACE)

    assert store.about().count == 60
    assert store.about().details["search"] == "exact"
    assert "can't be made now" in caplog.text


def test_a_search_goes_by_the_index_over_vectors_and_for_what_is_rare_by_that_over_fields(
    indexed_early: None, monkeypatch: pytest.MonkeyPatch, store: Store, database: str
) -> None:
    monkeypatch.setattr(nearest, "LEAST_LOOKED_AT", 10)  # with more, so few are best compared all
    store.upsert(random_items(2000), SPACE)
    assert "$nearest" not in plan(url(database))

    store.settle()

    assert 'Index Scan using "tate_embeddings$nearest"' in plan(url(database))
    assert len(ids(store)) == 10
    assert 'Bitmap Index Scan on "tate_embeddings$fields"' in plan(url(database), number=1999)
    assert ids(store, number=1999) == ["item-1999"]


def test_all_that_a_filter_lets_through_is_found_where_the_index_over_vectors_gives_up(
    indexed_early: None, database: str
) -> None:
    # Which the planner would hardly prefer here.
    stubborn = url(database, options="-c hnsw.max_scan_tuples=1 -c seq_page_cost=1000")
    with closing(opened(stubborn)) as store:
        store.upsert(random_items(1000), SPACE)
        store.settle()

        assert "$nearest" in plan(stubborn, number={"gte": 7, "lte": 9})
        assert sorted(ids(store, number={"gte": 7, "lte": 9})) == ["item-7", "item-8", "item-9"]
        assert len(ids(store, 900, number={"gte": 100})) == 900


def test_without_memory_that_processes_share_the_index_over_vectors_is_made_by_one(
    monkeypatch: pytest.MonkeyPatch, indexed_early: None, database: str
) -> None:
    monkeypatch.setattr(nearest, "LEAST_MEMORY_KIB", 2**31 - 1)  # nobody has two TB
    monkeypatch.setattr(nearest, "MOST_MEMORY_KIB", 2**31 - 1)
    with closing(opened(url(database, options="-c min_parallel_table_scan_size=0"))) as store:
        store.upsert(random_items(60), SPACE)

        store.settle()

        assert store.about().details["search"] == "HNSW"


def test_vectors_too_long_to_be_indexed_are_all_compared(
    monkeypatch: pytest.MonkeyPatch, indexed_early: None, store: Store
) -> None:
    items = random_items(60, dimensions=nearest.MOST_DIMENSIONS + 1)
    store.upsert(items, SPACE)

    store.settle()

    assert store.about().details["search"] == "exact"
    assert store.search(items[7].vector, 1, EVERYTHING, SPACE)[0].id == "item-7"


# Anew


def test_an_index_anew_is_called_and_indexed_as_the_one_before_again_and_again(
    indexed_early: None, store: Store, database: str
) -> None:
    store.upsert(random_items(60), SPACE)
    store.settle()
    before = tables(database)

    for _ in range(2):
        with store.anew() as fresh:
            fresh.upsert(random_items(60), OTHER_SPACE)

    assert tables(database) == before
    assert store.about().details["search"] == "HNSW"


def test_an_index_anew_where_nothing_was_put_in_is_empty(store: Store) -> None:
    store.upsert([ONE], SPACE)

    with store.anew():
        pass

    assert store.about().space is None
    assert ids(store) == []


def test_while_an_index_is_filled_anew_the_old_one_is_read_and_not_changed(impatient: None, store: Store) -> None:
    store.upsert([ONE], SPACE)

    with store.anew() as fresh:
        fresh.upsert([*store.items()], SPACE)
        for change in (lambda: store.upsert([ONE], SPACE), lambda: store.delete(["one"])):
            with pytest.raises(IndexUnavailable, match="somebody else"):
                change()
        with pytest.raises(IndexUnavailable, match="somebody else"), store.anew():
            pass
        assert ids(store) == ["one"]

    store.upsert([replace(ONE, id="two")], SPACE)
    assert sorted(ids(store)) == ["one", "two"]


def test_others_may_do_with_an_index_anew_what_they_could_with_the_old_one(store: Store, database: str) -> None:
    store.upsert([ONE], SPACE)
    reader = role("reader", "SELECT ON ALL TABLES IN SCHEMA public", database=database)
    with administrator(database) as connection:
        connection.execute("GRANT SELECT ON tate_embeddings TO PUBLIC")

    with store.anew() as fresh:
        fresh.upsert([replace(ONE, id="two")], SPACE)

    with closing(opened(reader)) as reading:
        assert ids(reading) == ["two"]
    with administrator(database) as connection:
        ((rights,),) = connection.execute(
            "SELECT relacl::text FROM pg_class WHERE relname = 'tate_embeddings'"
        ).fetchall()
    assert "=r/" in rights.split(",")[0] or ",=r/" in rights


def test_an_index_anew_waits_for_who_reads_the_old_one(
    impatient: None, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    store.upsert(random_items(3), SPACE)
    reading = store.items()
    next(reading)
    monkeypatch.setattr(schema, "sleep", lambda _: [*reading])

    with store.anew() as fresh:
        fresh.upsert([ONE], SPACE)

    assert ids(store) == ["one"]


def test_an_index_anew_doesnt_wait_for_ever(
    impatient: None, monkeypatch: pytest.MonkeyPatch, store: Store, database: str
) -> None:
    store.upsert(random_items(3), SPACE)
    before = tables(database)
    monkeypatch.setattr(schema, "SWAP_WITHIN_S", 0)
    reading = store.items()
    next(reading)

    def begin_anew() -> None:
        with store.anew() as fresh:
            fresh.upsert([ONE], SPACE)

    with pytest.raises(IndexUnavailable):
        begin_anew()

    assert len([*reading]) == 2
    assert store.about().count == 3
    assert tables(database) == before


def test_who_loses_the_right_to_fill_an_index_anew_harms_neither_the_old_one_nor_who_has_it_now(
    store: Store, database: str
) -> None:
    store.upsert([ONE], SPACE)
    before = tables(database)

    def lose() -> None:
        with store.anew() as fresh:
            fresh.upsert([replace(ONE, id="late")], SPACE)
            with administrator() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = %s AND state = 'idle in transaction'",
                    (database,),
                )
            next_one.__enter__().upsert([replace(ONE, id="next")], SPACE)
            fresh.upsert([replace(ONE, id="later")], SPACE)

    with closing(opened(url(database))) as another:
        next_one = another.anew()
        with pytest.raises(IndexUnavailable):
            lose()
        assert ids(store) == ["one"]
        next_one.__exit__(None, None, None)

    assert ids(store) == ["next"]
    assert tables(database) == before


KILLED = """
import os, signal, sys
from app.search.postgresql import opened
from app.search.store import Item
from tests.search.conftest import SPACE, unit

with opened(sys.argv[1]).anew() as fresh:
    fresh.upsert([Item("one", unit(1), {})], SPACE)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_who_is_killed_while_filling_an_index_anew_leaves_nothing_in_the_way(store: Store, database: str) -> None:
    store.upsert([replace(ONE, id="old")], SPACE)
    before = tables(database)

    subprocess.run([sys.executable, "-c", KILLED, url(database)], cwd=ROOT, check=False)

    assert tables(database) > before
    assert ids(store) == ["old"]
    store.upsert([replace(ONE, id="older")], SPACE)
    with store.anew() as fresh:
        fresh.upsert([ONE], SPACE)
    assert ids(store) == ["one"]
    assert tables(database) == before
