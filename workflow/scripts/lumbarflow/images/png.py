"""Slices and class masks as 8-bit PNG files."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import DataError
from ..files import replacing, sha256

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# pixels per side, as in the config's schema: a larger PNG is not from this workflow and may unpack to gigabytes
LARGEST = 4096


def name(index: int | str) -> str:
    """Name of the file of a slice's picture."""
    return f"{int(index):03d}.png"


def slice_path(folder: str | Path, row: Mapping[str, Any]) -> Path:
    """Path of a slice's picture. folder: of its recipe; row: with `volume` and `index`."""
    return Path(folder, row["volume"], name(row["index"]))


def write(path: str | Path, array: NDArray[np.uint8]) -> str:
    """Write a uint8 array [H, W], or [H, W, 3] in the order blue, green, red, as an 8-bit PNG; returns its sha256.

    Compression level 1: five times faster than the default and a few percent larger.
    """
    ok, encoded = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise DataError(f"{path}: an array of shape {array.shape} cannot be written as PNG")
    content = encoded.tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return sha256(content)


def read(path: str | Path, digest: str | None = None) -> NDArray[np.uint8]:
    """Read an 8-bit single-channel PNG as uint8 [H, W].

    digest: the sha256 that the file must have, so that a slice that changed after its manifest was
    written is not used unnoticed. Raises DataError for a missing, changed or unreadable file.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; delete the .csv that lists it and run again") from None
    if digest and sha256(content) != digest:
        raise DataError(f"{path}: is not the file its table describes; delete it and its .csv and run again")
    return decode(content, path)


def decode(content: bytes, path: str | Path) -> NDArray[np.uint8]:
    """The uint8 array [H, W] in the bytes of an 8-bit single-channel PNG. Raises DataError, naming the path."""
    if content[:8] == SIGNATURE and max(struct.unpack(">2I", content[16:24].ljust(8, b"\0"))) > LARGEST:
        raise DataError(f"{path}: claims more than {LARGEST} pixels a side; delete it and run again")
    array: NDArray[Any] | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint8 or array.ndim != 2:
        raise DataError(f"{path}: expected an 8-bit single-channel PNG; delete it and run again")
    return array
