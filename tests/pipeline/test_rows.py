"""Files as they come: packed, cut, badly quoted, badly encoded, far too large."""

import gzip
import io
import tracemalloc
from typing import Any

import pytest

from evenstock.core.errors import Refusal
from evenstock.core.mapping import FileForm
from evenstock.pipeline import rows
from evenstock.pipeline.rows import CsvRows, SourceRow


def read(content: bytes, needed: tuple[str, ...] = ("a",), **form: Any) -> list[SourceRow]:
    return list(CsvRows(io.BytesIO(content), FileForm(**form), needed, "f.csv"))


def codes(found: list[SourceRow]) -> list[str | None]:
    return [row.problem.code if row.problem else None for row in found]


def refused(content: bytes, **form: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        read(content, **form)
    return caught.value.problem.code, caught.value.problem.detail


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n", b"\xef\xbb\xbfa,b\r\n1,2", gzip.compress(b"a,b\n1,2\n", mtime=0), b"a,b\n\n 1 ,2\n\n"],
)
def test_plain_packed_marked_and_blank_lined_files_read_alike(content: bytes) -> None:
    assert [row.values for row in read(content)] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "windows-1252", "iso-8859-15"])
def test_text_is_read_in_the_encoding_the_mapping_names(encoding: str) -> None:
    assert read("a,b\n1,é\n".encode(encoding), encoding=encoding)[0].values["b"] == "é"


def test_packed_members_follow_each_other() -> None:
    content = gzip.compress(b"a\n1\n", mtime=0) + gzip.compress(b"2\n") + b"\0" * 8
    assert [row.values["a"] for row in read(content)] == ["1", "2"]


def test_an_unclosed_quote_costs_its_own_line_only() -> None:
    found = read(b'a,b\n1,2\n3,"4\n5,6\n7,"8"\n9,10\n')
    assert codes(found) == [None, "row.quotes", None, None, None]
    assert [row.line for row in found] == [2, 3, 4, 5, 6]
    assert found[1].cells == ('3,"4',)


def test_an_unclosed_quote_at_the_end_costs_its_own_line_only() -> None:
    assert codes(read(b'a,b\n"1,2\n3,4\n5,6\n')) == ["row.quotes", None, None]


def test_a_quoted_line_break_and_a_stray_quote_are_text() -> None:
    assert [row.values["b"] for row in read(b'a,b\n1,"x\ny"\n2,5" plate\n')] == ["x\ny", '5" plate']


def test_short_long_undecodable_and_nul_rows_are_problems_between_good_ones() -> None:
    found = read(b"a,b\n1\n1,2,3\n1,\xff\n1,\0\n1,2\n")
    assert codes(found) == ["row.columns", "row.columns", "row.encoding", "row.nul", None]


def test_a_row_without_end_is_a_problem_and_the_next_is_read() -> None:
    content = b"a,b\n1," + b"x" * (2 * rows.ROW_LENGTH_MAX) + b"\n3,4\n"
    assert codes(read(content)) == ["limit.row", None]


def test_a_million_columns_are_a_problem() -> None:
    assert codes(read(b"a,b\n" + b"," * 900_000 + b"\n1,2\n")) == ["limit.row", None]
    assert refused(b"a," * 3_000 + b"b\n")[0] == "file.header"


def test_a_missing_column_is_named_with_the_near_ones() -> None:
    assert refused(b"A,b\n") == (
        "file.header", "f.csv has no column a, which the mapping names. Did you mean A?",
    )  # fmt: skip
    assert "is the delimiter really ','?" in refused(b"a;b\n")[1]
    assert "empty" in refused(b"")[1]
    assert "more than once" in refused(b"a,a\n")[1]


def test_a_cut_damaged_or_otherwise_packed_file_stops_in_words() -> None:
    packed = gzip.compress(b"a\n" + b"1\n" * 9)
    for content in (packed[:-10], packed[:12] + b"\xff" * 20, b"PK\x03\x04"):
        assert refused(content)[0] == "file.packing"


def test_a_bomb_is_stopped_at_its_ratio() -> None:
    bomb = gzip.compress(b"a\n" + (b"1" * 999 + b"\n") * (rows.RATIO_FREE_BYTES // 1000 + 5_000))
    assert refused(bomb)[0] == "limit.unpacked"


def test_memory_does_not_grow_with_the_file() -> None:
    content = io.BytesIO(b"a,b\n" + b"1,some text that is read and forgotten\n" * 200_000)
    tracemalloc.start()
    count = sum(1 for _ in CsvRows(content, FileForm(), ["a"], "f.csv"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert peak < 2_000_000


def test_progress_counts_packed_bytes_to_the_end() -> None:
    content = gzip.compress(b"a\n1\n2\n", mtime=0)
    assert read(content)[-1].progress == len(content)


def test_the_digest_is_that_of_the_content() -> None:
    assert rows.digest_of(io.BytesIO(b"abc")).startswith("ba7816bf")
