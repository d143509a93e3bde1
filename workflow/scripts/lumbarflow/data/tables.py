"""Read the tables that users give, sample sheets and overview files, as spreadsheets and other programs write them."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import DataError

DELIMITERS = (",", ";", "\t")
FALLBACK = "cp1252"  # what spreadsheets of Western Europe write where they do not write UTF-8


@dataclass(frozen=True)
class Table:
    """A table as text. rows: {column: cell} without blanks around the cells; lines: where each row begins in the file,
    counted from 1."""

    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[int]


def read(path: str | Path, required: Sequence[str] = ()) -> Table:
    """Read a delimited text file with a header line: commas, semicolons or tabs, any line ends, UTF-8, UTF-16 or
    Windows-1252, with or without a byte-order mark, blank lines and empty columns at the end left out.

    Cells stay text: patient 007, a sequence called NA. required: columns that must be there, with a cell in each line.
    Raises DataError, naming the file and the line, for no or twofold columns, and for cells that belong to no column or
    are missing.
    """
    text = _decoded(path)
    header = next((line for line in text.splitlines() if line.strip()), "")
    try:
        delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([header], delimiter=each), [])))
        numbered = list(_records(text, delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: is not sound CSV ({error}); save it as UTF-8 CSV") from None
    if not numbered:
        raise DataError(f"{path}: is empty; expected a CSV file with a header line")
    columns = numbered.pop(0)[1]
    while columns and not columns[-1]:
        columns.pop()
    _check_columns(path, columns, required)
    rows = []
    for line, cells in numbered:
        if any(cells[len(columns) :]):
            raise DataError(
                f"{path}, line {line}: has more cells than columns; put a text with {delimiter!r} in quotes"
            )
        row = dict(zip(columns, cells, strict=False))
        if not row.keys() >= set(required):
            raise DataError(f"{path}, line {line}: has fewer cells than columns")
        rows.append(dict.fromkeys(columns, "") | row)
    return Table(columns, rows, [line for line, _ in numbered])


def _records(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line where it begins, cells) of each record that is not blank. Raises csv.Error for a quote that nothing closes,
    since it would hide the lines below it."""
    lines = list(io.StringIO(text, newline=""))
    reader, begins, found = csv.reader(lines, delimiter=delimiter), 0, []
    for record in reader:
        _check_quotes(lines[begins : reader.line_num], delimiter, begins + 1)
        cells = [cell.strip() for cell in record]
        if any(cells):
            found.append((begins + 1, cells))
        begins = reader.line_num
    return found


def _check_quotes(lines: Sequence[str], delimiter: str, place: int) -> None:
    """Raise csv.Error for a record of these lines, the first of which has the number `place`, whose quotes are loose
    and reach over a line's end; within a line they do no harm."""
    strict = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        list(strict)
    except csv.Error as error:
        odd = sum(line.count('"') for line in lines) % 2
        if strict.line_num > 1 or (odd and (len(lines) > 1 or "end of data" in str(error))):
            raise csv.Error(f"in line {place} a quote begins that is not closed") from None


def _decoded(path: str | Path) -> str:
    """Text of a file. Raises DataError if it is none."""
    content = Path(path).read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        try:
            text = content.decode(FALLBACK)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not text ({error.reason}); save it as UTF-8 CSV") from None
        logging.getLogger(__name__).warning(
            "%s: is not UTF-8; read as Windows-1252. Where names look wrong, save it as UTF-8 CSV", path
        )
    if "\0" in text:
        raise DataError(f"{path}: is not text (it holds zero bytes); save it as UTF-8 CSV")
    return text


def _check_columns(path: str | Path, columns: Sequence[str], required: Sequence[str]) -> None:
    twofold = next((name for place, name in enumerate(columns) if name in columns[:place]), None)
    if twofold is not None:
        name = f"the column {twofold!r} twice" if twofold else "several columns without a name"
        raise DataError(f"{path}: has {name}; name each column once")
    for name in required:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, 1, 0.5)
            hint = f"; is it {near[0]!r}?" if near else ""
            raise DataError(f"{path}: has no column {name!r}{hint}; expected {', '.join(required)}")
