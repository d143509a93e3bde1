"""Reading and writing of the small files that pass between stages.

Everything is written to a temporary name and renamed, with fixed number formats and no times in
it: a reader never sees half a file and the same input gives the same bytes.
"""

import csv
import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from . import DataError


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path` (same ending); rename it to `path` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path):
    """Hold an exclusive lock on the file `path`, which is made where it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def format_number(value):
    """Text of one table cell: floats to 10 significant digits, NaN as an empty cell, inf as `inf`."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.10g}"
    return "" if value is None else str(value)


def write_csv(path, rows, columns):
    """Write a list of dicts as CSV; columns missing from a row stay empty, unknown ones are an error."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: format_number(value) for key, value in row.items()})


def read_csv(path):
    """Rows of a CSV file as dicts of text. Raises DataError where the file has no header."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8 CSV") from None
    if not reader.fieldnames:
        raise DataError(f"{path}: is empty; expected a CSV file with a header line")
    return rows


def write_json(path, content):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write_png(path, array):
    """Write a uint8 array as an 8-bit PNG and return the sha256 of the file.

    Compression level 1: five times faster than the default and a few percent larger.
    """
    ok, encoded = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise DataError(f"{path}: an array of shape {array.shape} cannot be written as PNG")
    content = encoded.tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return sha256(content)


def read_png(path, digest=None):
    """Read an 8-bit single-channel PNG as uint8 [H, W].

    `digest`: the sha256 that the file must have; a slice that changed since its manifest was
    written must not slip into a training unseen. Raises DataError.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; delete the .csv of the same name and run again") from None
    if digest and sha256(content) != digest:
        raise DataError(f"{path}: is not the file its table describes; delete it and its .csv and run again")
    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint8 or array.ndim != 2:
        raise DataError(f"{path}: expected an 8-bit single-channel PNG; delete it and run again")
    return array
