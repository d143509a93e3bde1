"""Find the scans that are to be segmented: a file, a folder of any names and formats, DICOM, BIDS, or a sheet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import DataError
from . import tables
from .dataset import EXTENSIONS, SIDECARS, VOLUME, counts, parse_name, stem, volume_key

FILES = tuple(ending for ending in EXTENSIONS if ending != ".dcm")  # one of these holds a whole scan
SHEETS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Scan:
    """image: path of a file or of a folder of DICOM slices; series: which one of such a folder, if it holds several;
    sequence: what it is, where something tells."""

    image: str
    series: str = ""
    sequence: str = ""


def find(path: str | Path) -> dict[str, Scan]:
    """{name: Scan} of the scans at a path, in natural order; names are of letters, digits, `_` and `-`.

    path: a volume; a folder with volumes, DICOM slices or both below it, SPIDER's masks/ apart; a BIDS dataset; or a
    sheet with the columns volume and image and, if need be, sequence and series. Raises DataError, naming the path, if
    there is nothing, or if two scans would have one name.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; `scans` names a scan, a folder of scans, or a sheet of them")
    if path.is_file() and path.name.lower().endswith(SHEETS):
        return _listed(path)
    if path.is_file():
        return {_name(path, path.parent): _scan(path)}
    found: dict[str, Scan] = {}
    for name, scan in _bids(path) if (path / "dataset_description.json").is_file() else _below(path):
        if name in found:
            raise DataError(
                f"{scan.image}: would be called {name!r}, as {found[name].image} is; rename one, or list both in a "
                "sheet (columns volume, image)"
            )
        found[name] = scan
    if not found:
        raise DataError(f"{path}: holds no scans; expected volumes ({', '.join(FILES)}) or DICOM slices")
    return {name: found[name] for name in sorted(found, key=volume_key)}


def _listed(path: Path) -> dict[str, Scan]:
    """The scans of a sheet."""
    table = tables.read(path, ("volume", "image"))
    found: dict[str, Scan] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        where, name = f"{path}, line {line}", row["volume"]
        if not VOLUME.fullmatch(name):
            raise DataError(f"{where}: volume is {name!r}; use letters, digits, `_` and `-`")
        if name in found:
            raise DataError(f"{where}: volume {name} is listed twice")
        image = path.parent / row["image"]
        if not row["image"] or not image.exists():
            raise DataError(f"{where}: image {str(image)!r}: no such file or folder")
        found[name] = Scan(str(image), row.get("series", ""), row.get("sequence", ""))
    if not found:
        raise DataError(f"{path}: lists no scans; expected a line for each under volume, image")
    return found


def _bids(root: Path) -> Iterator[tuple[str, Scan]]:
    from .listing import list_bids  # reads BIDS' schema, which takes a second

    return ((row["volume"], Scan(row["image"])) for row in list_bids(root))


def _below(root: Path) -> Iterator[tuple[str, Scan]]:
    """The volumes, and the series of DICOM slices, below a folder."""
    dicom = False
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if counts(name))
        if "images" in below and "masks" in below:
            below.remove("masks")
        for name in sorted(filter(counts, files)):
            file = Path(folder, name)
            if name.lower().endswith(FILES):
                yield _name(file, root), _scan(file)
            else:
                dicom = dicom or not name.lower().endswith((*SHEETS, *SIDECARS))
    if dicom:
        from .listing import list_dicom  # imports DICOM readers

        for row in list_dicom(root):
            yield row["volume"], Scan(row["image"], row["series"])


def _scan(path: Path) -> Scan:
    """A volume, with the sequence that a name such as 12_t2.mha tells."""
    name = stem(path)
    try:
        return Scan(str(path), sequence=parse_name(name)[1])
    except DataError:
        return Scan(str(path))


def _name(path: Path, root: Path) -> str:
    """What a volume below a folder is called: its way there, with `-` for what cannot be part of a name."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", str(path.relative_to(root).with_name(stem(path)))).strip("-_")
    if not name:
        raise DataError(f"{path}: has no letter or digit that a result could be named by; rename it")
    return name
