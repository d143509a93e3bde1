"""Read and write the small files that pass between stages.

Each file is written under a temporary name and then renamed, so a reader never sees half a file.
Number formats are fixed and no times are stored, so the same input gives the same bytes. This
module does not import NumPy, which would slow down each parsing of the workflow.
"""

import csv
import fcntl
import hashlib
import json
import logging
import numbers
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import DataError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same ending); rename it to `path` if the block succeeds.

    The temporary name is always the same, so the next job overwrites what a killed job left. Two jobs
    never use it at once: Snakemake lets only one process at a time make a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{path.name}")  # keeps endings such as .nii.gz
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it becomes `path`, in place of what was there, if the block
    succeeds."""
    path = Path(path)
    temporary = path.with_name(f".partial-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; create the file if it is missing. Where the file system has no locks,
    a line in the log says so and there is none: it only saves work that would be done twice."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            logging.getLogger(__name__).info("%s: cannot be locked (%s); going on without", path, error.strerror)
        yield


def format_number(value: object) -> str:
    """Text of one table cell: floats to 10 significant digits, NaN as an empty cell, inf as `inf`."""
    if type(value).__name__ in ("bool", "bool_"):  # Python's or NumPy's
        return "true" if value else "false"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return "" if value != value else f"{value:.10g}"
    return "" if value is None else str(value)


def write_csv(path: str | Path, rows: Iterable[Mapping[str, Any]], columns: Collection[str]) -> None:
    """Write dicts as CSV. A column missing from a row stays empty; a key not in `columns` raises ValueError."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: format_number(value) for key, value in row.items()})


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file of this workflow as dicts of text; of users' files see data.tables.

    Raises DataError if the file has no header, is not UTF-8 or is not valid CSV.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames, list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8 CSV") from None
    except csv.Error as error:
        raise DataError(f"{path}: is not sound CSV ({error}); save it as UTF-8 CSV") from None
    if not columns:
        raise DataError(f"{path}: is empty; expected a CSV file with a header line")
    return rows


def write_json(path: str | Path, content: Any) -> None:
    """Write a value as JSON, with sorted keys."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read the value in a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def counted(number: int, thing: str) -> str:
    """A number of things in words: 1 scan, 2 scans."""
    return f"{number} {thing}" + "s" * (number != 1)


def sha256(content: bytes) -> str:
    """Hexadecimal digest of the bytes."""
    return hashlib.sha256(content).hexdigest()
