"""Check the header of a volume against the file before a reader uses it.

Volumes come from unknown sources. A header may name another file to read, or a size that does not fit into memory.
Both are refused here, from the header alone: no memory is reserved and no file is opened only because a header says so.
"""

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from .. import DataError

LIMIT = 1 << 30  # bytes of voxels: ten times the largest volume of SPIDER
# the key is one word: MetaIO ends a key also at a blank or a colon (keys such as 0008|0060 come from DICOM)
LINE = re.compile(rb"([^\s=:\0]+)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?\n?")
LINES, LONGEST_LINE = 1000, 1 << 16
BYTES = {"UCHAR": 1, "CHAR": 1, "USHORT": 2, "SHORT": 2, "UINT": 4, "INT": 4, "ULONG": 4, "LONG": 4}
BYTES |= {"ULONG_LONG": 8, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check(path: str | Path) -> None:
    """Raise DataError, naming the file, if a .mha, .mhd, .nii or .nii.gz does not match its header, if its voxels take
    more than LIMIT bytes, or if they are in another file (except, for an .mhd, the .raw or .zraw of the same name)."""
    path = str(path)
    if path.endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    else:
        _check_metaimage(path)


def check_size(path: str | Path, size: Sequence[int], voxel: int) -> int:
    """Bytes of a grid of `size` with `voxel` bytes per voxel. Raises DataError if they are none or more than LIMIT."""
    wanted = math.prod(size) * voxel
    if not size or min(size) < 1 or wanted > LIMIT:
        raise DataError(
            f"{path}: its header claims {' x '.join(map(str, size))} voxels of {voxel} bytes; expected at least one "
            f"voxel and at most {LIMIT >> 20} MiB; the header is damaged, or this is no volume for this workflow"
        )
    return wanted


def _damaged(path: str, what: str) -> DataError:
    return DataError(f"{path}: cannot be read as a volume: {what}; replace the file or take it out of the dataset")


def _read_fields(path: str) -> tuple[dict[str, str], int]:
    """Header of a MetaImage file, {key: value}, and the offset of its end in bytes."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "ElementDataFile" not in fields:
            line = LINE.fullmatch(file.readline(LONGEST_LINE))
            key = line[1].decode("latin-1") if line else ""
            if not line or len(fields) > LINES or key in fields:
                raise _damaged(
                    path,
                    f"line {len(fields) + 1} of its header is "
                    + (f"a second {key}" if key in fields else "not of the form `Key = Value`, or the file ends there"),
                )
            fields[key] = line[2].decode("latin-1")
        return fields, file.tell()


def _check_metaimage(path: str) -> None:
    fields, begins = _read_fields(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    allowed = {"LOCAL"} | ({f"{stem}.raw", f"{stem}.zraw"} if path.endswith(".mhd") else set())
    name = fields["ElementDataFile"]
    if name not in allowed:
        raise DataError(
            f"{path}: ElementDataFile is {name!r}; expected {' or '.join(sorted(allowed))}: "
            "a volume may name no file but its own; store it anew as one .mha"
        )
    if name != "LOCAL":
        voxels, begins = os.path.join(os.path.dirname(path), name), 0
        if not os.path.isfile(voxels):
            raise DataError(f"{path}: its voxels {voxels} are not there; add the file, or store both as one .mha")
    else:
        voxels = path
    if fields.get("BinaryData", "").lower() != "true":
        raise _damaged(path, f"BinaryData is {fields.get('BinaryData')!r}, expected True")
    kind = fields.get("ElementType", "").removeprefix("MET_")
    if kind not in BYTES:
        known = ", ".join(f"MET_{name}" for name in BYTES)
        raise _damaged(path, f"ElementType is {fields.get('ElementType')!r}, expected one of {known}")
    try:
        size = [int(text) for text in fields["DimSize"].split()]
        if len(size) != int(fields["NDims"]):
            raise ValueError
        skipped = max(int(fields.get("HeaderSize", "0")), 0)
        channels = int(fields.get("ElementNumberOfChannels", "1"))
    except (KeyError, ValueError):
        raise _damaged(
            path, "DimSize is not NDims whole numbers, or HeaderSize or ElementNumberOfChannels none"
        ) from None
    wanted = check_size(path, [*size, channels] if channels != 1 else size, BYTES[kind]) + skipped
    found = os.path.getsize(voxels) - begins
    if fields.get("CompressedData", "False").lower() == "true":
        _check_packed(path, voxels, begins, wanted, fields.get("CompressedDataSize"))
    elif wanted > found:
        raise _damaged(path, f"cut short: its header claims {wanted} bytes of voxels, found {found}")


def _check_packed(path: str, voxels: str, begins: int, wanted: int, claimed: str | None) -> None:
    """Decompress once and discard the result: ITK returns uninitialised memory for voxels that do not decompress."""
    found, unpacked = os.path.getsize(voxels) - begins, 0
    if claimed != str(found):
        raise _damaged(path, f"cut short: CompressedDataSize is {claimed}, found {found} bytes")
    stream = zlib.decompressobj(wbits=47)  # zlib's or gzip's
    with open(voxels, "rb") as file:
        file.seek(begins)
        try:
            while unpacked <= wanted and (chunk := file.read(1 << 16)):
                unpacked += len(stream.decompress(chunk))
        except zlib.error as error:
            raise _damaged(path, f"its voxels do not unpack ({error})") from None
    if unpacked != wanted or not stream.eof:
        raise _damaged(path, f"its header claims {wanted} bytes of voxels, they unpack to {unpacked}")


def _check_nifti(path: str) -> None:
    """Check the length, too: ITK would pad a file that is too short with zeros."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        try:
            header = file.read(348)
            order = next(o for o in "<>" if struct.unpack(o + "i", header[:4])[0] == 348)
            count, *dimensions = struct.unpack(order + "8h", header[40:56])
            bits = struct.unpack(order + "h", header[72:74])[0]
            begins = int(struct.unpack(order + "f", header[108:112])[0])
            if not 1 <= count <= 7 or bits not in (8, 16, 32, 64, 128) or not 0 <= begins <= 1 << 20:
                raise ValueError("dimensions, bits a voxel or offset out of range")
            expected = begins + check_size(path, dimensions[:count], bits // 8)
            found = len(header)
            while found < expected and (chunk := file.read(min(1 << 20, expected - found))):
                found += len(chunk)
        except DataError:
            raise
        except (EOFError, OSError, ValueError, StopIteration, OverflowError, zlib.error, struct.error) as error:
            raise _damaged(path, f"no sound NIfTI-1 file ({error or 'no header of 348 bytes'})") from None
    if found < expected:
        raise _damaged(path, f"cut short: its header claims {expected} bytes, found {found}")
