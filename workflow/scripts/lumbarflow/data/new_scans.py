"""Find the scans that are to be segmented: a file, a folder of any names and formats, DICOM, BIDS, or a sheet."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import DataError
from ..files import sha256
from . import tables
from .dataset import EXTENSIONS, SEQUENCES, SIDECARS, VOLUME, parse_name, stem, volume_key, walk

FILES = tuple(ending for ending in EXTENSIONS if ending != ".dcm")  # one of these holds a whole scan
LONGEST = 150  # letters of a name, with which more than the folder is called
PICTURE = ".png"  # one slice, if told how large its pixels are
UNREAD = (".nrrd", ".nhdr", ".hdr", ".mgz", ".mgh", ".mnc")  # of other formats, a file a volume
SHEETS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Scan:
    """image: path of a file or of a folder of DICOM slices; series: which one of such a folder, if it holds several;
    sequence: what it is, where something tells; spacing: mm of slice, row and column of a .png, else none."""

    image: str
    series: str = ""
    sequence: str = ""
    spacing: Sequence[float] = ()

    @property
    def override(self) -> dict[str, Any]:
        """What volumes.read must be told: there, spacing is in the order of the stored axes."""
        return {"spacing": tuple(self.spacing[::-1])} if self.spacing else {}


def find(path: str | Path, spacing: Sequence[float] = (), known: Collection[str] = ()) -> dict[str, Scan]:
    """{name: Scan} of the scans at a path, in natural order; names are of letters, digits, `_` and `-`.

    path: a volume; a folder with volumes, DICOM slices or both below it, SPIDER's masks/ apart; a BIDS dataset; or a
    sheet with the columns volume and image and, if need be, sequence, series and spacing. spacing: mm of slice, row and
    column of each .png among them; without it, pictures are no scans. known: sequences that a name such as 12_STIR.mha
    may tell, beside SPIDER's. Raises DataError, naming the path, if there is nothing, or if two scans would have one
    name.
    """
    known = {*known, *SEQUENCES}
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; `scans` names a scan, a folder of scans, or a sheet of them")
    if path.is_file() and path.name.lower().endswith(SHEETS):
        return _listed(path, spacing)
    if path.is_file():
        _check_told(path, spacing)
        return {_name(path, path.parent): _scan(path, spacing, known)}
    found: dict[str, Scan] = {}
    called: dict[str, str] = {}
    for name, scan in _bids(path) if (path / "dataset_description.json").is_file() else _below(path, spacing, known):
        same = called.setdefault(name.lower(), scan.image)
        if same != scan.image or name in found:
            raise DataError(
                f"{scan.image}: would be called {name!r}, as {same} is (capitals do not count); rename one, or list "
                "both in a sheet (columns volume, image)"
            )
        found[name] = scan
    if not found:
        raise DataError(
            f"{path}: holds no scans; expected volumes ({', '.join(FILES)}), DICOM slices, or {PICTURE} with `spacing`"
        )
    return {name: found[name] for name in sorted(found, key=volume_key)}


def _listed(path: Path, spacing: Sequence[float]) -> dict[str, Scan]:
    """The scans of a sheet; spacing: of pictures for which it has none."""
    table = tables.read(path, ("volume", "image"))
    found: dict[str, Scan] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        where, name = f"{path}, line {line}", row["volume"]
        if not VOLUME.fullmatch(name):
            raise DataError(f"{where}: volume is {name!r}; use letters, digits, `_` and `-`")
        if name.lower() in map(str.lower, found):
            raise DataError(f"{where}: volume {name} is listed twice (capitals do not count)")
        image = path.parent / row["image"]
        if not row["image"] or not image.exists():
            raise DataError(f"{where}: image {str(image)!r}: no such file or folder")
        told = spacing_of(row.get("spacing", ""), f"{where}: spacing")
        if told and not _is_picture(image):
            raise DataError(f"{where}: spacing is for .png alone; {image} says its own (config.overrides of a dataset)")
        _check_told(image, told or spacing)
        mm = (told or spacing) if _is_picture(image) else ()
        found[name] = Scan(str(image), row.get("series", ""), row.get("sequence", ""), mm)
    if not found:
        raise DataError(f"{path}: lists no scans; expected a line for each under volume, image")
    return found


def _bids(root: Path) -> Iterator[tuple[str, Scan]]:
    from .listing import list_bids  # reads BIDS' schema, which takes a second

    images = (Path(row["image"]) for row in list_bids(root))
    return ((_name(image, image.parent), Scan(str(image))) for image in images)


def _is_picture(path: Path) -> bool:
    return path.name.lower().endswith(PICTURE)


def _check_told(path: Path, spacing: Sequence[float]) -> None:
    if _is_picture(path) and not spacing:
        raise DataError(f"{path}: a picture does not say how large its pixels are; add `spacing`, such as 4 0.6 0.6")


def spacing_of(text: str, where: str) -> tuple[float, ...]:
    """Three lengths in mm, such as `4 0.6 0.6`; none of an empty text. Raises DataError that names `where`."""
    try:
        found = tuple(map(float, text.replace(",", " ").split()))
    except ValueError:
        found = (0.0,)
    if found and (len(found) != 3 or not all(0 < each < 100 for each in found)):
        raise DataError(f"{where} is {text!r}; expected mm of slice, row and column, such as 4 0.6 0.6")
    return found


def _below(root: Path, spacing: Sequence[float], known: Collection[str]) -> Iterator[tuple[str, Scan]]:
    """The volumes, and the series of DICOM slices, below a folder."""
    others, endings = False, (*FILES, PICTURE) if spacing else FILES
    dicom: dict[Path, list[str]] = {}  # of each folder the files that may be
    unread: list[Path] = []
    for folder, below, files in walk(root):
        if "images" in below and "masks" in below:
            below.remove("masks")
        for name in files:
            file = folder / name
            if name.lower().endswith(endings):
                others = True
                yield _name(file, root), _scan(file, spacing, known)
            elif name.lower().endswith(UNREAD):
                unread.append(file)
            elif not name.lower().endswith((*SHEETS, *SIDECARS, PICTURE)):
                dicom.setdefault(folder, []).append(name)
    if unread:
        what = "left out: %d volumes of formats that are not read, such as %s; store them anew as .nii.gz"
        logging.getLogger(__name__).warning(f"%s: {what}", root, len(unread), unread[0])
    if dicom:
        from .listing import list_dicom  # imports DICOM readers

        rows = list_dicom(root, dicom.items())
        if not (rows or others) and len(lone := list_dicom(root, dicom.items(), 1)) == 1:
            rows = lone  # a single slice beside scans is a derived picture, but by itself it is what is wanted
        for row in rows:
            yield row["volume"], Scan(row["image"], row["series"])


def _scan(path: Path, spacing: Sequence[float], known: Collection[str]) -> Scan:
    """A volume, with the sequence that a name such as 12_t2.mha tells, if it is a known one (most names with `_` tell
    something else: case_0001), and, of a picture, its spacing."""
    mm = tuple(spacing) if _is_picture(path) else ()
    try:
        sequence = parse_name(_stem(path))[1]
    except DataError:
        sequence = ""
    return Scan(str(path), sequence=sequence if sequence in known else "", spacing=mm)


def _stem(path: Path) -> str:
    return path.stem if _is_picture(path) else stem(path)


def _name(path: Path, root: Path) -> str:
    """What a volume below a folder is called: its way there, with `-` for what cannot be part of a name."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", str(path.relative_to(root).with_name(_stem(path)))).strip("-_")
    if not name:
        raise DataError(f"{path}: has no letter or digit that a result could be named by; rename it")
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}-{sha256(name.encode())[:8]}"
