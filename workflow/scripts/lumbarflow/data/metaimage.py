"""Read MetaImage files (.mha, .mhd): a header of text lines, then the voxels, in the file or in one beside it."""

import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import DataError
from .geometry import Geometry
from .headers import Stored, check_size, check_surplus, damaged, flat

# the key is one word: MetaIO ends a key also at a blank or a colon (keys such as 0008|0060 come from DICOM)
LINE = re.compile(rb"([^\s=:\0]+)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?\n?")
LINES, LONGEST_LINE = 1000, 1 << 16
TAG = re.compile(r"[0-9a-fA-F]{4}\|[0-9a-fA-F]{4}")  # DICOM's, kept as text that may have several lines
TYPES = {"UCHAR": "u1", "CHAR": "i1", "USHORT": "u2", "SHORT": "i2", "UINT": "u4", "INT": "i4", "ULONG": "u4"}
TYPES |= {"LONG": "i4", "ULONG_LONG": "u8", "LONG_LONG": "i8", "FLOAT": "f4", "DOUBLE": "f8"}
# names that MetaIO knows for one thing
MATRIX = ("TransformMatrix", "Rotation", "Orientation")
ORIGIN = ("Offset", "Position", "Origin")


def read(path: str | Path, surplus: bool = False) -> Stored:
    """Read a .mha, or an .mhd with its .raw or .zraw of the same name.

    surplus: allow bytes behind the voxels. Raises DataError, naming the file, for a header that does not match the
    file, for another number of dimensions or values than a volume has, and for voxels in any other file.
    """
    path = str(path)
    fields, begins = _read_fields(path)
    kind = fields.get("ElementType", "").removeprefix("MET_")
    if not _yes(fields, "BinaryData"):
        raise damaged(path, f"BinaryData is {fields.get('BinaryData')!r}, expected True")
    if kind not in TYPES:
        known = ", ".join(f"MET_{name}" for name in TYPES)
        raise damaged(path, f"ElementType is {fields.get('ElementType')!r}, expected one of {known}")
    try:
        size = [int(text) for text in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        if len(size) != int(fields["NDims"]):
            raise ValueError
    except (KeyError, ValueError):
        raise damaged(path, "DimSize is not NDims whole numbers, or ElementNumberOfChannels none") from None
    order = ">" if _yes(fields, "BinaryDataByteOrderMSB") or _yes(fields, "ElementByteOrderMSB") else "<"
    voxel = np.dtype(order + TYPES[kind])
    wanted = check_size(path, [*size, channels] if channels != 1 else size, voxel.itemsize)
    if channels != 1 or len(size) < 3 or any(length > 1 for length in size[3:]):
        raise flat(path, len(size), channels)
    content = _read_voxels(path, fields, begins, wanted, surplus)
    array = np.frombuffer(content, voxel).reshape(size[2::-1])
    return Stored(array.astype(voxel.newbyteorder("="), copy=False), *_place(path, fields, size))


def _yes(fields: Mapping[str, str], key: str) -> bool:
    """Whether a field is true: as MetaIO reads it, by its first letter."""
    return fields.get(key, "")[:1].lower() in ("t", "1")


def _read_fields(path: str) -> tuple[dict[str, str], int]:
    """Header of a MetaImage file, {key: value}, and the offset of its end in bytes."""
    fields: dict[str, str] = {}
    last = ""
    with open(path, "rb") as file:
        for number in range(1, LINES + 1):
            text = file.readline(LONGEST_LINE)
            line = LINE.fullmatch(text)
            if line:
                last = line[1].decode("latin-1")
            elif not (TAG.fullmatch(last) and text.endswith(b"\n") and b"\0" not in text):  # a tag's further lines
                raise damaged(
                    path, f"line {number} of its header is not of the form `Key = Value`, or the file ends there"
                )
            if line and last in fields:
                raise damaged(path, f"line {number} of its header is a second {last}")
            if line:
                fields[last] = line[2].decode("latin-1")
            if "ElementDataFile" in fields:
                return fields, file.tell()
    raise damaged(path, f"line {LINES} of its header is not ElementDataFile")


def _read_voxels(path: str, fields: Mapping[str, str], begins: int, wanted: int, surplus: bool) -> bytes | bytearray:
    """The voxels, unpacked. begins: where they do in the file itself; wanted: bytes that the header claims."""
    stem, name = os.path.splitext(os.path.basename(path))[0], fields["ElementDataFile"]
    name = "LOCAL" if name.upper() == "LOCAL" else name
    allowed = {"LOCAL"} | ({f"{stem}.raw", f"{stem}.zraw"} if path.lower().endswith(".mhd") else set())
    if name not in allowed:
        raise DataError(
            f"{path}: ElementDataFile is {name!r}; expected {' or '.join(sorted(allowed))}: "
            "a volume may name no file but its own; store it anew as one .mha"
        )
    voxels = path
    if name != "LOCAL":
        voxels, begins = os.path.join(os.path.dirname(path), name), 0
        if not os.path.isfile(voxels):
            raise DataError(f"{path}: its voxels {voxels} are not there; add the file, or store both as one .mha")
    if fields.get("HeaderSize", "0") != "0":
        raise damaged(path, f"HeaderSize is {fields['HeaderSize']}, expected 0: its voxels would begin elsewhere")
    found = os.path.getsize(voxels) - begins
    if _yes(fields, "CompressedData"):
        return _unpacked(path, voxels, begins, wanted, fields.get("CompressedDataSize", ""), surplus)
    if wanted > found:
        raise damaged(path, f"cut short: its header claims {wanted} bytes of voxels, found {found}")
    check_surplus(path, found - wanted, surplus)
    with open(voxels, "rb") as file:
        file.seek(begins)
        return file.read(wanted)


def _unpacked(path: str, voxels: str, begins: int, wanted: int, claimed: str, surplus: bool) -> bytearray:
    """Unpack, but no more than the header claims."""
    found, unpacked = os.path.getsize(voxels) - begins, bytearray()
    if not re.fullmatch("[0-9]{1,18}", claimed) or int(claimed) > found:
        raise damaged(path, f"cut short: CompressedDataSize is {claimed or 'not there'}, found {found} bytes")
    check_surplus(path, found - int(claimed), surplus)
    stream = zlib.decompressobj(wbits=47)  # zlib's or gzip's
    with open(voxels, "rb") as file:
        file.seek(begins)
        try:
            while len(unpacked) <= wanted and (chunk := file.read(1 << 16)):
                unpacked += stream.decompress(chunk)
        except zlib.error as error:
            raise damaged(path, f"its voxels do not unpack ({error})") from None
    if len(unpacked) != wanted or not stream.eof:
        raise damaged(path, f"its header claims {wanted} bytes of voxels, they unpack to {len(unpacked)}")
    return unpacked


def _place(path: str, fields: Mapping[str, str], size: list[int]) -> tuple[Geometry, dict[str, str]]:
    """Geometry, and what the header does not tell of it."""
    dimensions, untold = len(size), {}
    # an element may be smaller than the way to the next one; where its size stands alone, there is no gap
    spaced = ("ElementSpacing" if "ElementSpacing" in fields else "ElementSize",)
    spacing, matrix, origin = (_numbers(path, fields, keys) for keys in (spaced, MATRIX, ORIGIN))
    unit = fields.get("DistanceUnits", "mm")
    if not spacing:
        untold["spacing"] = "its header has no ElementSpacing"
    elif 0 in spacing[:3]:
        untold["spacing"] = f"its ElementSpacing is {' '.join(f'{mm:g}' for mm in spacing[:3])}"
    elif unit not in ("mm", "?"):
        untold["spacing"] = f"its DistanceUnits are {unit!r}, expected mm"
    if not matrix:
        untold["orientation"] = "its header has no TransformMatrix, so that nothing says which way it lies"
    for keys, values, number in (
        (spaced, spacing, dimensions),
        (MATRIX, matrix, dimensions**2),
        (ORIGIN, origin, dimensions),
    ):
        if values and len(values) != number:
            raise damaged(path, f"{keys[0]} has {len(values)} numbers, expected {number}")
    # each row of the matrix is the direction of a stored axis
    cosines = np.reshape(matrix or np.eye(dimensions), (dimensions, dimensions))[:3, :3].T
    mm, first = (spacing or [1.0] * 3)[:3], (origin or [0.0] * 3)[:3]
    return Geometry(size[:3], tuple(mm), tuple(first), tuple(map(float, cosines.ravel()))), untold


def _numbers(path: str, fields: Mapping[str, str], keys: tuple[str, ...]) -> list[float]:
    """Numbers of the first of several names for one thing; none if there is none of them."""
    there = {key: fields[key] for key in keys if key in fields}
    try:
        values = [[float(text) for text in each.split()] for each in there.values()]
    except ValueError:
        raise damaged(path, f"{' or '.join(there)} holds no numbers") from None
    if any(each != values[0] for each in values):
        raise damaged(path, f"{' and '.join(there)} differ: they are names of one thing")
    return values[0] if values else []
