"""How Elasticsearch is reached, and what its failures are to a caller."""

import logging
import ssl
import threading
from base64 import b64encode
from pathlib import Path

import pytest
import trustme
from app.errors import IndexUnavailable, IndexUnusable
from app.search.elasticsearch import store
from app.search.filters import parsed
from app.search.opening import opened
from app.search.store import Item, Store

from tests.search.conftest import OTHER_SPACE, SPACE, closing, unit
from tests.search.elasticsearch.conftest import ITEM, LATER, another, make_anew, once
from tests.search.elasticsearch.stand_in import StandIn, standing_in

EVERYTHING = parsed({})


def test_an_item_that_isnt_taken_is_a_failure(
    stand_in: StandIn, filled: Store, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.cluster.refused_items["later"] = (429, "es_rejected_execution_exception")

    with pytest.raises(IndexUnavailable, match="1 of 2 items"):
        filled.upsert([LATER, ITEM], SPACE)

    assert "429 es_rejected_execution_exception" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 408, 429, 500, 503])
def test_a_failure_of_elasticsearch_is_an_index_that_isnt_available(
    stand_in: StandIn, filled: Store, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    # What the server is asked first is what has put the item in: whether there is an index.
    stand_in.fail("_(bulk|search|pit|count)", status, "some_exception")

    for ask in (
        lambda: filled.search(unit(1), 1, EVERYTHING, SPACE),
        lambda: filled.vectors(["sea"], SPACE),
        lambda: filled.upsert([ITEM], SPACE),
        lambda: filled.delete(["sea"]),
        lambda: filled.has_field("title"),
        filled.about,
        filled.digests,
    ):
        with pytest.raises(IndexUnavailable):
            ask()

    assert caplog.text.count(f"{status} some_exception") == 7
    assert ("secret reason" in caplog.text) == (status in (401, 403))


def test_an_index_that_may_not_be_made_is_one_that_isnt_available(
    stand_in: StandIn, index: Store, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.fail("PUT", 403, "security_exception")

    with pytest.raises(IndexUnavailable):
        index.upsert([ITEM], SPACE)

    assert "403 security_exception: secret reason" in caplog.text


def test_what_may_pass_is_asked_once_more(stand_in: StandIn, filled: Store) -> None:
    filled.settle()
    stand_in.fail("_search", 503, times=1)

    assert filled.search(unit(1), 1, EVERYTHING, SPACE)
    assert len(stand_in.requests("_search")) == 2


def test_a_server_that_is_gone_is_an_index_that_isnt_available_and_no_secret_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    item = Item("an-id-of-mine", unit(1), {"title": "a-title-of-mine"})
    with standing_in(f"Basic {b64encode(b'user:p@ss').decode()}") as stand_in:
        url = stand_in.url.replace("://", "://user:p%40ss@")
        with closing(opened(url)) as index, caplog.at_level(logging.DEBUG):
            index.upsert([item], SPACE)
            stand_in.gone = True
            with pytest.raises(IndexUnavailable) as failure:
                index.upsert([item], SPACE)
            with pytest.raises(IndexUnavailable):
                index.search(item.vector, 1, EVERYTHING, SPACE)

    told = caplog.text + failure.value.detail + repr(index)
    assert "can't be reached: ConnectionError" in told
    assert not [secret for secret in ("p@ss", "p%40ss", "127.0.0.1", str(stand_in.port), "of-mine") if secret in told]


def test_a_search_that_takes_too_long_is_given_up(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "SEARCH_TIMEOUT_S", 0.1)
    answered = threading.Event()
    with another(stand_in) as index:
        index.upsert([ITEM], SPACE)
        stand_in.before = once("_search", lambda: answered.wait(10))

        with pytest.raises(IndexUnavailable):
            index.search(unit(1), 1, EVERYTHING, SPACE)
        answered.set()

    assert "ConnectionTimeout" in caplog.text


def test_a_part_of_an_answer_is_none(stand_in: StandIn, filled: Store) -> None:
    stand_in.cluster.shards = {"total": 2, "successful": 1, "skipped": 0, "failed": 1}

    for ask in (lambda: filled.search(unit(1), 1, EVERYTHING, SPACE), filled.digests, filled.about):
        with pytest.raises(IndexUnavailable, match="part"):
            ask()


def test_an_index_of_somebody_elses_is_left_alone(stand_in: StandIn, index: Store) -> None:
    stand_in.cluster.create("tate_embeddings", {"settings": {}, "mappings": {"dynamic": False, "properties": {}}})

    with pytest.raises(IndexUnavailable, match="wasn't made by this service"):
        index.upsert([ITEM], SPACE)
    with pytest.raises(IndexUnavailable, match="wasn't made by this service"):
        make_anew(index, ITEM, SPACE)


@pytest.mark.parametrize(
    ("who", "authorization"),
    [("apikey:a%2Bkey%3D%3D@", "ApiKey a+key=="), ("us%3Aer:@", f"Basic {b64encode(b'us:er:').decode()}")],
)
def test_a_server_gets_a_password_or_a_key(who: str, authorization: str) -> None:
    with standing_in(authorization) as stand_in, closing(opened(stand_in.url.replace("://", f"://{who}"))) as index:
        assert index.about().count == 0


def test_a_server_with_an_authority_of_its_own_is_trusted_by_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    with standing_in(tls=context) as stand_in:
        url = stand_in.url.replace("elasticsearch:", "elasticsearch+https:")
        with closing(opened(f"{url}?ca_certs={tmp_path / 'ca.pem'}")) as index:
            assert index.about().count == 0
        with closing(opened(url)) as index, pytest.raises(IndexUnavailable):
            index.about()


def test_indexes_of_other_names_are_apart(stand_in: StandIn, filled: Store) -> None:
    with another(stand_in, "?index=other") as index:
        assert index.about().count == 0
        index.upsert([LATER], OTHER_SPACE)
        assert [*index.digests()] == ["later"]
        assert index.about().details["alias"] == "other"

    assert [*filled.digests()] == ["sea"]


@pytest.mark.parametrize(
    "rest",
    [
        "//:secret@", "//host:port", "//host:99999", "//u:secret@h?index=Upper", "//h?index=", "//h?index=a-b",
        "//u:secret@h?verify=no", "//h?ca_certs=/no/such/file", f"//h?index={'a' * 41}",
    ],
)  # fmt: skip
def test_what_a_url_cant_mean_is_said(rest: str) -> None:
    with pytest.raises(IndexUnusable, match=r"INDEX_URL is wrong: .* Example: INDEX_URL=elasticsearch") as failure:
        opened(f"elasticsearch:{rest}")

    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("address", ["[::1]:9200/", "host/prefix", "host:443/a/b/"])
def test_a_url_may_have_a_prefix_or_an_address(address: str) -> None:
    opened(f"elasticsearch+https://{address}").close()
