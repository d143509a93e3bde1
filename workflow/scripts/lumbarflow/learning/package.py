"""A trained model as one file, which may come from anybody.

A package is a zip archive of plain data: model.json says what the networks are, what they were trained on and how they
scored, and holds the SHA-256 of every other member; CARD.md says the same to a person; each network's weights are one
array of numbers. Reading runs no code from the archive: the networks are built by this software from their names, and
a member is taken only under a plain name, with the size and the SHA-256 that model.json tells. Members are stored
uncompressed and without dates, so that the same model gives the same bytes, and an archive cannot swell.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, DataError
from ..files import replacing, sha256

FORMAT = 1
MANIFEST = "model.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*\.(npy|md|png)")
LARGEST = 2**30  # bytes of a member; a network of the paper's has 32 million
NEEDED = ("name", "classes", "networks", "settings", "software")
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can hold


def write(path: str | Path, about: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Write a package. about: what model.json holds, with the keys of NEEDED; members: {name in the archive: bytes}.
    Raises DataError for a member that is larger than `read` allows."""
    for name, content in members.items():
        if len(content) > LARGEST:
            raise DataError(
                f"{path}: {name} has {len(content) / 2**20:.0f} MiB; a package holds at most {LARGEST // 2**20} of a "
                "network: set package.weights to float16, if it is not, or train a narrower network"
            )
    listed = {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in sorted(members.items())}
    manifest = json.dumps({**about, "format": FORMAT, "members": listed}, indent=1, sort_keys=True) + "\n"
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in ((MANIFEST, manifest.encode()), *((name, members[name]) for name in listed)):
            info = zipfile.ZipInfo(name, DATE)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What model.json holds, and {name: bytes} of the other members.

    Raises DataError, naming the file and the member, for whatever is no sound package of this version and these
    classes.
    """
    try:
        with open(path, "rb") as file:
            return _read(file, path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path}: {error.strerror}; expected a model that `snakemake package` wrote") from None


def _read(file: IO[bytes], path: str | Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(archive, path)
            found = {each.filename for each in archive.infolist()} - {MANIFEST}
            for name in found ^ set(manifest["members"]):
                where = "is not told of in model.json" if name in found else "is missing"
                raise DataError(f"{path}: its member {name!r} {where}; fetch it again from where it came from")
            return manifest, {name: _member(archive, name, told, path) for name, told in manifest["members"].items()}
    # zipfile raises RuntimeError for encrypted members and for features that it lacks, OSError where a damaged
    # directory points before the start of the file
    except (zipfile.BadZipFile, EOFError, RuntimeError, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: is no sound zip archive ({error}); expected a model of `snakemake package`: fetch it again"
        ) from None


def _manifest(archive: zipfile.ZipFile, path: str | Path) -> dict[str, Any]:
    """model.json, checked. Raises DataError."""
    names = [each.filename for each in archive.infolist()]
    if names.count(MANIFEST) != 1 or len(set(names)) < len(names):
        raise DataError(f"{path}: expected one {MANIFEST} and no name twice, found {sorted(names)[:20]}")
    try:
        manifest = json.loads(_content(archive, MANIFEST, path))
    except ValueError as error:
        raise DataError(f"{path}: its {MANIFEST} is no JSON ({error}); fetch it again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise DataError(
            f"{path}: its format is {found!r}, expected {FORMAT}; package it again, or use the version that wrote it"
        )
    missing = [key for key in NEEDED if key not in manifest]
    told = manifest.get("members")
    if missing or not isinstance(told, dict) or not all(_is_told(each) for each in told.values()):
        raise DataError(f"{path}: its {MANIFEST} lacks {', '.join(missing) or 'sizes and hashes of members'}")
    for name in told:
        if not NAME.fullmatch(name):
            raise DataError(f"{path}: a member is named {name!r}; expected plain names that end in .npy, .md or .png")
    if manifest["classes"] != list(CLASSES):
        raise DataError(f"{path}: is a model for the classes {manifest['classes']}; expected {list(CLASSES)}")
    return manifest


def _is_told(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("bytes"), int) and isinstance(each.get("sha256"), str)


def _content(archive: zipfile.ZipFile, name: str, path: str | Path) -> bytes:
    """The bytes of a member, which must be stored as they are and of a size to be expected."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > LARGEST or info.compress_size != info.file_size:
        raise DataError(
            f"{path}: its member {name!r} is compressed or above {LARGEST // 2**20} MiB, as no model of ours is"
        )
    return archive.read(info)


def _member(archive: zipfile.ZipFile, name: str, told: Mapping[str, Any], path: str | Path) -> bytes:
    content = _content(archive, name, path)
    if (len(content), sha256(content)) != (told["bytes"], told["sha256"]):
        raise DataError(f"{path}: its member {name!r} is not what model.json says of it (SHA-256); fetch it again")
    return content


def pack(weights: Sequence[NDArray[np.floating]], dtype: str) -> tuple[bytes, list[list[int]]]:
    """(bytes, shapes) of the weights of a network: one array of all numbers, as dtype `float32` or `float16`.

    Raises DataError for a number that float16 cannot hold.
    """
    flat = np.concatenate([np.ravel(each) for each in weights]).astype(np.float32)
    with np.errstate(over="ignore"):
        numbers = flat.astype(dtype)
    if not np.isfinite(numbers).all():
        raise DataError(f"a weight of {np.abs(flat).max():.3g} cannot be stored as {dtype}; store float32")
    buffer = io.BytesIO()
    np.save(buffer, numbers, allow_pickle=False)
    return buffer.getvalue(), [list(np.shape(each)) for each in weights]


def unpack(content: bytes, shapes: Sequence[Sequence[int]], name: str) -> list[NDArray[np.float32]]:
    """The weights of a network as float32, in these shapes. Raises DataError, naming the member `name`."""
    try:
        numbers = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{name}: is no array of numbers ({error})") from None
    sizes = [math.prod(shape) for shape in shapes]
    if not isinstance(numbers, np.ndarray) or numbers.dtype not in (np.float16, np.float32) or numbers.ndim != 1:
        raise DataError(f"{name}: expected one array of float16 or float32")
    if len(numbers) != sum(sizes) or not np.isfinite(numbers).all():
        raise DataError(
            f"{name}: holds {len(numbers)} numbers, expected {sum(sizes)} finite ones of the shapes {shapes}"
        )
    parts = np.split(numbers.astype(np.float32), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
