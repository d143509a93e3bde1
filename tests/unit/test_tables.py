"""Tables that users give: as text, whoever wrote them; what is lost or doubtful is refused with file and line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbarflow import DataError
from lumbarflow.data import tables

CELL = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=6)


@given(
    st.lists(st.tuples(CELL, CELL, CELL).filter(any), max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_was_written_is_read(tmp_path_factory, rows, delimiter, end, encoding):
    path, text = tmp_path_factory.mktemp("table") / "table.csv", io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([("a", "b", "c"), *rows])
    path.write_bytes(text.getvalue().encode(encoding))
    table = tables.read(path, ("a", "b", "c"))
    assert table.columns == ["a", "b", "c"]
    assert [tuple(row.values()) for row in table.rows] == rows
    assert table.lines == list(range(2, len(rows) + 2))


def read(tmp_path, content, required=()):
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tables.read(path, required)


def test_lines_are_those_of_the_file(tmp_path):
    table = read(tmp_path, 'a,b\n\n1,"two\nlines"\n,\n007,NA\n')
    assert table.rows == [{"a": "1", "b": "two\nlines"}, {"a": "007", "b": "NA"}]
    assert table.lines == [3, 6]


def test_loose_quotes_within_a_line_are_read(tmp_path):
    table = read(tmp_path, 'a,b\n"x" ,2\n"L5" fused,"two\nlines"\n')
    assert [row["b"] for row in table.rows] == ["2", "two\nlines"]
    assert read(tmp_path, 'a,b\n5" thick,"L5" fused\n').rows == [{"a": '5" thick', "b": "L5 fused"}]
    assert read(tmp_path, 'a,b\n5" thick,"x, y"\n').rows == [{"a": '5" thick', "b": "x, y"}]


def test_other_encodings_are_read_and_said(tmp_path, caplog):
    assert read(tmp_path, "patient\nJürgen\n".encode("cp1252")).rows == [{"patient": "Jürgen"}]
    assert "is not UTF-8; read as Windows-1252" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n;;\n", "is empty"),
        ("a,,b\n1,2,3\n", None),
        ("a,,,b\n1,2,3,4\n", "several columns without a name"),
        ("a,b,a\n", "has the column 'a' twice"),
        ("a,b\n1,2,3\n", r"table\.csv, line 2: has more cells than columns"),
        ("a,b\n1,2\n1\n", r"table\.csv, line 3: has fewer cells than columns"),
        ("a,c\n", "has no column 'b'; expected a, b"),
        (b"a,b\n\x81,1\n", "is not text"),
        (b"a,b\n\0,1\n", "zero bytes"),
        ('a,b\n1,2\n3,"open\n4,5\n', "in line 3 a quote begins that is not closed"),
        ('a,b\n3,"open\n4,"x"\n', "in line 2 a quote begins that is not closed"),
        ('a,b\n3,"open\n', "in line 2 a quote begins that is not closed"),
        ('a,b\n"L5" fused,1\n2,"open\n3,4\n', "in line 3 a quote begins that is not closed"),
        ('a,b\n"L5" f,0\n1,"moved\n2,"x"\n3,ok"\n', "in line 3 a quote begins that is not closed"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, content, message):
    if message is None:
        assert read(tmp_path, content, ("a", "b")).rows == [{"a": "1", "": "2", "b": "3"}]
        return
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, ("a", "b"))
