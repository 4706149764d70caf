"""Lists of images in every form that they come in, and what may be wrong with them."""

import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pytest
from app.catalogue.lists import STDIN, List, Row, Shard, default_id, read
from app.errors import CatalogueUnusable
from app.search.store import is_id, storable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

A = "https://media.example.org/a.jpg"
B = "https://media.example.org/b.jpg"
HAY_WAIN = {"title": "The Hay Wain", "year": 1821}

Written = Callable[[str, str | bytes], str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a list into a file and says where it is."""

    def write(name: str, content: str | bytes) -> str:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path / name)

    return write


def in_parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def as_line(said: Any) -> bytes:
    return json.dumps(said).encode()


def urls(found: List) -> list[str]:
    return [row.url for row in found.rows]


def faults(found: List) -> list[tuple[int, str]]:
    return [(rejected.line, rejected.code) for rejected in found.rejected]


def test_a_text_has_a_url_in_each_line(written: Written) -> None:
    found = read(written("list.txt", f"# Constable\n{A}\n\n  {B} \n"))

    assert found == List([Row(default_id(A), A, {}), Row(default_id(B), B, {})], [], 0)


@pytest.mark.parametrize("name", ["list", "list.txt", "list.jpg", "list.csv.bak"])
def test_what_has_no_other_name_is_a_text(name: str, written: Written) -> None:
    assert urls(read(written(name, A))) == [A]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("list.txt", [A, B]),
        ("list.csv", ["url,n", f"{A},1", f"{B},2"]),
        ("list.tsv", ["url\tn", f"{A}\t1", f"{B}\t2"]),
        ("list.jsonl", [f'{{"url": "{A}"}}', f'{{"url": "{B}"}}']),
    ],
)
def test_lines_end_as_on_any_machine_and_may_begin_with_a_mark(
    name: str, lines: list[str], mark: str, end: str, written: Written
) -> None:
    assert urls(read(written(name, mark + end.join(lines) + end))) == [A, B]
    assert urls(read(written(name, mark + end.join(lines)))) == [A, B]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("list.txt", [A.encode(), b"https://media.example.org/\xfc.jpg", B.encode()]),
        ("list.csv", [f"url,title\n{A},".encode(), b"https://media.example.org/,K\xfcnstler", B.encode()]),
        ("list.jsonl", [b'{"url": "%s"}' % A.encode(), b'{"url": "\xfc"}', b'{"url": "%s"}' % B.encode()]),
    ],
)
def test_a_line_that_is_not_utf_8_spoils_no_other(name: str, lines: list[bytes], written: Written) -> None:
    found = read(written(name, b"\n".join(lines)))

    assert urls(found) == [A, B]
    assert faults(found) == [(lines[0].count(b"\n") + 2, "unreadable")]
    assert "UTF-8" in found.rejected[0].detail


def test_a_table_has_what_there_is_to_say_in_its_columns(written: Written) -> None:
    found = read(written("list.csv", f'id,url,title,artist\nN1,{A},"The Hay Wain, 1821",\nN2,{B},,Constable\n'))

    assert found.rows == [Row("N1", A, {"title": "The Hay Wain, 1821"}), Row("N2", B, {"artist": "Constable"})]


@pytest.mark.parametrize("header", ["URL, Title ,ID", '"Url"," Title","Id"'])
def test_names_of_columns_may_have_capitals_and_blanks_around_them(header: str, written: Written) -> None:
    assert read(written("list.csv", f"{header}\n{A}, The Hay Wain,N1")).rows == [
        Row("N1", A, {"Title": "The Hay Wain"})
    ]


def test_a_column_in_small_letters_comes_before_one_in_capitals(written: Written) -> None:
    assert read(written("list.csv", f"URL,url,ID,id\n{B},{A},N2,N1")).rows == [Row("N1", A, {"URL": B, "ID": "N2"})]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1821", "0", "-7"], [1821, 0, -7]),
        (["1821", "1.5", "2e3", "-0.25E-2"], [1821, 1.5, 2000.0, -0.0025]),
        (["1821", "c. 1821"], ["1821", "c. 1821"]),
        (["007", "8"], ["007", "8"]),
        (["+1", "2"], ["+1", "2"]),
        (["1.", "2"], ["1.", "2"]),
        ([".5", "2"], [".5", "2"]),
        (["1,5", "2"], ["1,5", "2"]),
        (["NaN", "2"], ["NaN", "2"]),
        (["Infinity", "2"], ["Infinity", "2"]),
        (["1e999", "2"], ["1e999", "2"]),
        (["1 ", "2"], ["1 ", "2"]),
        (["٣", "2"], ["٣", "2"]),
        (["123456789012345678", "2"], [123456789012345678, 2]),
        (["12345678901234567890", "2"], ["12345678901234567890", "2"]),
        (["true", "null"], ["true", "null"]),
    ],
)
def test_a_column_of_numbers_gives_numbers(cells: list[str], values: list[Any], written: Written) -> None:
    table = io.StringIO()
    csv.writer(table).writerows([["url", "cell"], [f"{A}?empty", ""], *([f"{A}?{cell}", cell] for cell in cells)])

    found = [row.metadata for row in read(written("list.csv", table.getvalue())).rows]

    assert found == [{}, *({"cell": value} for value in values)]
    assert [type(each.get("cell")) for each in found[1:]] == [type(value) for value in values]


def test_an_id_of_a_table_stays_as_it_is_written(written: Written) -> None:
    found = read(written("list.csv", f"id,url\n7,{A}\n7.0,{B}"))

    assert [row.id for row in found.rows] == ["7", "7.0"]


def test_lines_of_a_table_are_counted_as_an_editor_counts_them(written: Written) -> None:
    found = read(written("list.csv", f'url,title\n\n{A},"The\nHay\nWain"\n,none\n{B},'))

    assert found.rows[0].metadata == {"title": "The\nHay\nWain"}
    assert urls(found) == [A, B]
    assert faults(found) == [(6, "no_url")]


def test_a_line_with_too_many_cells_is_unreadable_and_one_with_too_few_is_not(written: Written) -> None:
    found = read(written("list.csv", f"id,url,title\nN1,{A}\nN2,{B},The Hay Wain, 1821\nN3,{B},Dedham,,\n,,,,\n"))

    assert found.rows == [Row("N1", A, {}), Row("N3", B, {"title": "Dedham"})]
    assert faults(found) == [(3, "unreadable")]


@pytest.mark.parametrize(
    ("lines", "last", "left"),
    [
        ([f'"{B}" x,'], 2, [A]),
        ([f'{B},"open', f"{B},", f'{B},"shut"'], 4, [A]),
        ([f'{B},"open', f"{B},"], 4, []),
        ([f'{B},"{"a" * 200_000}"'], 2, [A]),
    ],
)
def test_what_a_wrong_quotation_mark_takes_along_is_reported(
    lines: list[str], last: int, left: list[str], written: Written
) -> None:
    found = read(written("list.csv", "\n".join(["url,title", *lines, f"{A},"])))

    assert urls(found) == left
    assert faults(found) == [(2, "unreadable")]
    assert f"to line {last} " in found.rejected[0].detail


def test_columns_without_a_name_are_left_out(written: Written) -> None:
    assert read(written("list.csv", f",url,\n0,{A},1")).rows == [Row(default_id(A), A, {})]


@pytest.mark.parametrize(
    "content", [b"id,link\n", b"https://media.example.org/a.jpg\n", b'"url\n', b"url,K\xfcnstler\n"]
)
def test_a_table_needs_a_header_that_names_a_url(content: bytes, written: Written) -> None:
    with pytest.raises(CatalogueUnusable, match="header"):
        read(written("list.csv", content + A.encode()))


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "json", "JSONL"])
def test_json_lines_have_what_there_is_to_say_under_other_keys(suffix: str, written: Written) -> None:
    line = {"id": "N1", "url": A, "tags": ["hay", "wain"], "place": {"town": "Flatford"}, "sold": None} | HAY_WAIN

    found = read(written(f"list.{suffix}", f"\n{json.dumps(line)}\n"))

    assert found.rows == [
        Row("N1", A, {"tags": ["hay", "wain"], "place": {"town": "Flatford"}, "sold": None} | HAY_WAIN)
    ]


@pytest.mark.parametrize(
    ("others", "metadata"),
    [
        ({"metadata": HAY_WAIN}, HAY_WAIN),
        ({"metadata": {}}, {}),
        ({"metadata": "none"}, {"metadata": "none"}),
        ({"metadata": HAY_WAIN, "year": 1821}, {"metadata": HAY_WAIN, "year": 1821}),
    ],
)
def test_a_metadata_object_that_stands_alone_is_the_metadata(
    others: dict[str, Any], metadata: dict[str, Any], written: Written
) -> None:
    assert read(written("list.jsonl", json.dumps({"URL": A} | others))).rows[0].metadata == metadata


@pytest.mark.parametrize(
    ("id_in_json", "id_of_row"),
    [
        ('"N1"', "N1"),
        ('" N1"', " N1"),
        ("7", "7"),
        ("7.0", "7.0"),
        ("1.10", "1.10"),
        ("-1", "-1"),
        ("1e3", "1e3"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("null", default_id(A)),
    ],
)
def test_an_id_may_be_a_number_and_is_as_it_is_written(id_in_json: str, id_of_row: str, written: Written) -> None:
    assert read(written("list.jsonl", f'{{"id": {id_in_json}, "url": "{A}"}}')).rows[0].id == id_of_row


@pytest.mark.parametrize("wrong", ["", " ", True, [], {}, "a" * 513, "a\0b"])
def test_what_nothing_can_be_kept_under_is_no_id(wrong: Any, written: Written) -> None:
    found = read(written("list.jsonl", json.dumps({"id": wrong, "url": A})))

    assert found.rows == []
    assert faults(found) == [(1, "bad_id")]


@pytest.mark.parametrize(
    "line", ["[]", '"a"', "null", '{"url": "a"', "{'url': 'a'}", '{"url": "a"} {}', '{"url": "\\ud800"}', A]
)
def test_a_line_that_is_no_json_object_spoils_no_other(line: str, written: Written) -> None:
    found = read(written("list.jsonl", f'{{"url": "{A}"}}\n{line}\n{{"url": "{B}"}}'))

    assert urls(found) == [A, B]
    assert faults(found) == [(2, "unreadable")]


@pytest.mark.parametrize("depth", [300, 1000, 100_000])
@pytest.mark.parametrize("name", ['"N1"', "1.5"])
def test_metadata_that_nobody_could_write_down_is_unreadable(depth: int, name: str, written: Written) -> None:
    found = read(written("list.jsonl", f'{{"url": "{A}", "id": {name}, "a": {"[" * depth}{"]" * depth}}}'))

    assert faults(found) == [(1, "unreadable")]


@pytest.mark.parametrize(
    ("name", "content"),
    [("list.csv", f"url,ti\0tle\n{A},a\0b"), ("list.jsonl", f'{{"url": "{A}", "ti\\u0000tle": "a\\u0000b"}}')],
)
def test_what_no_store_can_hold_is_replaced(name: str, content: str, written: Written) -> None:
    assert read(written(name, content)).rows[0].metadata == {"ti\ufffdtle": "a\ufffdb"}


def test_parquet_has_what_there_is_to_say_in_its_columns(written: Written) -> None:
    found = read(written("list.parquet", in_parquet(id=[7, None], URL=[A, B], title=["The Hay Wain", None])))

    assert found.rows == [Row("7", A, {"title": "The Hay Wain"}), Row(default_id(B), B, {})]


@pytest.mark.parametrize(
    ("values", "in_json"),
    [
        (pyarrow.array([1821]), 1821),
        (pyarrow.array([2**64 - 1], pyarrow.uint64()), 2**64 - 1),
        (pyarrow.array([1.5]), 1.5),
        (pyarrow.array([float("nan")]), None),
        (pyarrow.array([True]), True),
        (pyarrow.array([Decimal("1.50")]), 1.5),
        (pyarrow.array([date(1821, 5, 1)]), "1821-05-01"),
        (pyarrow.array([time(12, 30)]), "12:30:00"),
        (pyarrow.array([timedelta(minutes=1, microseconds=5)]), 60.000005),
        (pyarrow.array([datetime(1821, 5, 1, 12, 30)]), "1821-05-01T12:30:00"),
        (pyarrow.array([1_000_000_001], pyarrow.timestamp("ns")), "1970-01-01T00:00:01"),
        (pyarrow.array([1_000_000_001], pyarrow.timestamp("ns", "Asia/Tokyo")), "1970-01-01T00:00:01+00:00"),
        (pyarrow.array([datetime(1821, 5, 1, tzinfo=UTC)]), "1821-05-01T00:00:00+00:00"),
        (pyarrow.array([2**62], pyarrow.timestamp("us", "UTC")), 2**62),
        (pyarrow.array([b"hay\xff"]), "hay\ufffd"),
        (pyarrow.array(["hay"]).dictionary_encode(), "hay"),
        (pyarrow.array([["hay", "wain"]]), ["hay", "wain"]),
        (pyarrow.array([{"day": date(1821, 5, 1), "none": None}]), {"day": "1821-05-01", "none": None}),
        (pyarrow.array([[("hay", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int8())), [["hay", 1]]),
        (pyarrow.array(["a\0b"]), "a\ufffdb"),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_values_of_parquet_become_json(values: Any, in_json: Any, written: Written) -> None:
    (row,) = read(written("list.parquet", in_parquet(url=[A], value=values))).rows

    assert row.metadata == ({} if in_json is None else {"value": in_json})
    assert orjson.loads(orjson.dumps(row.metadata)) == row.metadata


@pytest.mark.parametrize("kind", [pyarrow.large_string(), pyarrow.binary(), pyarrow.string_view()])
def test_urls_of_parquet_may_be_of_any_kind_of_text(kind: Any, written: Written) -> None:
    assert urls(read(written("list.parquet", in_parquet(url=pyarrow.array([A, B], kind))))) == [A, B]


def test_rows_of_parquet_are_counted_as_lines(written: Written) -> None:
    found = read(written("list.parquet", in_parquet(url=[A, None, B, " "])))

    assert urls(found) == [A, B]
    assert faults(found) == [(2, "no_url"), (4, "no_url")]


@pytest.mark.parametrize("content", [b"", b"url\n", in_parquet(url=[A])[:-9], in_parquet(link=[A])])
def test_parquet_that_is_none_or_names_no_url_is_unusable(content: bytes, written: Written) -> None:
    with pytest.raises(CatalogueUnusable):
        read(written("list.parquet", content))


def test_a_url_of_parquet_that_is_no_text_makes_it_unusable(written: Written) -> None:
    broken = pyarrow.array([A.encode(), b"\xff"]).view(pyarrow.string())

    with pytest.raises(CatalogueUnusable, match="row 0"):
        read(written("list.parquet", in_parquet(url=broken)))


def test_only_parquet_needs_its_library(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"] + ["pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)

    assert urls(read(written("list.csv", f"url\n{A}"))) == [A]
    with pytest.raises(CatalogueUnusable, match="poetry install --with parquet"):
        read(written("list.parquet", b"PAR1"))


@pytest.mark.parametrize("url", ["null", '""', '" \\t"', "7", "[]", "true"])
def test_a_line_without_a_url_gives_no_row(url: str, written: Written) -> None:
    found = read(written("list.jsonl", f'{{"id": "N1", "url": {url}}}\n{{"id": "N1", "url": "{A}"}}'))

    assert urls(found) == [A]
    assert faults(found) == [(1, "no_url")]


@pytest.mark.parametrize("url", ["ftp://media.example.org/a.jpg", "a.jpg", "http://", "javascript:alert(1)"])
def test_what_is_no_url_of_the_web_is_left_to_the_fetcher(url: str, written: Written) -> None:
    assert urls(read(written("list.txt", f" {url}\n"))) == [url]


def test_a_default_id_tells_urls_apart_and_is_always_the_same() -> None:
    assert default_id(A) == "c19fbcde2a56b9529222ab0cade668b0"
    assert default_id(A) != default_id(B)


def test_of_two_urls_with_one_id_the_first_is_kept(written: Written) -> None:
    found = read(written("list.csv", f"id,url,n\nN1,{A},1\nN2,{B},2\nN1,{B},3\nN1,{A},4"))

    assert found.rows == [Row("N1", A, {"n": 1}), Row("N2", B, {"n": 2})]
    assert faults(found) == [(4, "duplicate_id")]
    assert found.rejected[0].detail == "Its id 'N1' is that of line 2, which has another URL and is kept."
    assert found.repeated == 1


def test_a_url_in_several_lines_without_ids_is_one_row(written: Written) -> None:
    found = read(written("list.txt", f"{A}\n{B}\n{A}\n{A} \n"))

    assert urls(found) == [A, B]
    assert (found.rejected, found.repeated) == ([], 2)


def test_a_url_under_several_ids_is_several_rows(written: Written) -> None:
    assert [row.id for row in read(written("list.csv", f"id,url\nN1,{A}\nN2,{A}\n,{A}")).rows] == [
        "N1", "N2", default_id(A),
    ]  # fmt: skip


def test_a_line_that_is_rejected_leaves_its_id_to_others(written: Written) -> None:
    found = read(written("list.csv", f"id,url\nN1,\nN1,{A}"))

    assert urls(found) == [A]
    assert faults(found) == [(2, "no_url")]


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.jsonl", STDIN])
def test_a_list_of_nothing_has_no_rows(name: str, written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))

    assert read(name if name == STDIN else written(name, "")) == List([], [], 0)


def test_parquet_of_nothing_has_no_rows(written: Written) -> None:
    assert read(written("list.parquet", in_parquet(url=pyarrow.array([], pyarrow.string())))) == List([], [], 0)


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (f"{A}\n", Row(default_id(A), A, {})),
        (f"\n \n# Constable\n{A}", Row(default_id(A), A, {})),
        (f"\ufeff\n{{\"url\": \"{A}\", \"id\": 1}}\n", Row("1", A, {})),
        (f"\r\nid,Url\r\n1,{A}", Row("1", A, {})),
        (f'"id","url"\n1,{A}', Row("1", A, {})),
        (f"url\n{A}", Row(default_id(A), A, {})),
        (f"n\turl\n1\t{A}", Row(default_id(A), A, {"n": 1})),
        (f"n,m\turl\n1\t{A}", Row(default_id(A), A, {"n,m": 1})),
        ("https://media.example.org/url,a.jpg", Row(default_id(f"{A[:26]}url,a.jpg"), f"{A[:26]}url,a.jpg", {})),
    ],
)  # fmt: skip
def test_standard_input_shows_by_its_first_line_what_it_is(
    content: str, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))

    assert read(STDIN) == List([row], [], 0)


def test_lines_of_standard_input_are_counted_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n\nid,url\n1,\n")))

    assert faults(read(STDIN)) == [(4, "no_url")]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "."])
def test_a_list_that_cannot_be_opened_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueUnusable, match=r"the list .*can't be read \((No such file|Is a directory)"):
        read(str(tmp_path / name))


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("2/8", Shard(2, 8)), ("08/08", Shard(8, 8))])
def test_a_part_is_written_as_a_fraction(text: str, shard: Shard) -> None:
    assert Shard.parse(text) == shard


@pytest.mark.parametrize(
    "text", ["", "2", "0/8", "9/8", "-1/8", "1/0", "2 / 8", "2/8\n", "a/b", "1/2/3", "1.5/2", "٢/٨", "1/" + "9" * 5000]
)
def test_what_is_no_part_is_said_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="a part is written like 2/8"):
        Shard.parse(text)


def test_parts_have_every_row_once_and_about_as_many_each(written: Written) -> None:
    source = written("list.txt", "".join(f"{A}?{number}\n" for number in range(1000)))

    parts = [urls(read(source, Shard(number, 4))) for number in (1, 2, 3, 4)]

    assert sorted(chain.from_iterable(parts)) == sorted(urls(read(source)))
    assert all(200 < len(part) < 300 for part in parts)


def test_equal_urls_are_in_the_same_part(written: Written) -> None:
    source = written("list.csv", "id,url\n" + "".join(f"N{number},{A}?{number % 7}\n" for number in range(70)))

    parts = [set(urls(read(source, Shard(number, 3)))) for number in (1, 2, 3)]

    assert sum(map(len, parts)) == 7


def test_a_part_never_changes() -> None:
    assert [[shard for shard in range(1, 9) if Shard(shard, 8).has(url)] for url in (A, B)] == [[3], [4]]


def test_what_is_wrong_with_a_list_is_reported_by_one_part_of_it(written: Written) -> None:
    lines = [line for n in range(50) for line in (f"N{n},{A}?{n},1", f"N{n},{B}?{n},1", f"N{n},{A}?{n},1", f",,{n}",
                                                  f" ,{B}?{n},1,2", f"{'a' * 513},{B}?{n},1")]  # fmt: skip
    source = written("list.csv", "\n".join(["id,url,n", *lines]))
    whole = read(source)

    parts = [read(source, Shard(number, 3)) for number in (1, 2, 3)]

    assert sorted(chain.from_iterable(map(faults, parts))) == faults(whole)
    assert len(whole.rejected) == 200
    assert sum(part.repeated for part in parts) == whole.repeated == 50
    assert all(part.rows and part.rejected and part.repeated for part in parts)


def test_a_part_knows_of_duplicates_and_of_numbers_in_others(written: Written) -> None:
    source = written("list.csv", f"id,url,year\nN1,{A},1821\nN1,{B},c. 1821\n")
    parts = [read(source, Shard(number, 8)) for number in (3, 4)]

    assert parts[0].rows == [Row("N1", A, {"year": "1821"})]
    assert (parts[1].rows, faults(parts[1])) == ([], [(3, "duplicate_id")])


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.tsv", "list.jsonl"])
@given(content=st.lists(st.one_of(
    st.binary(), st.sampled_from([b"url,id\n", b"url\tid\n", b"\n", b'"', b",", b"1", b"\0", b"\\u0000", A.encode()]),
    st.dictionaries(st.sampled_from(["url", "ID", "a"]), st.text() | st.floats() | st.integers()).map(as_line)
)).map(b"".join))  # fmt: skip
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_list_is_its_rows_can_be_kept(name: str, content: bytes, written: Written) -> None:
    try:
        found = read(written(name, content))
    except CatalogueUnusable:
        return

    assert len({row.id for row in found.rows}) == len(found.rows)
    for row in found.rows:
        assert is_id(row.id)
        assert row.url == row.url.strip() != ""
        assert storable(row.metadata) == orjson.loads(orjson.dumps(row.metadata)) == row.metadata
