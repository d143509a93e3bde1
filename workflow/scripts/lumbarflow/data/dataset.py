"""Find the volumes of a dataset: in a folder in SPIDER's layout, or in a sample sheet."""

import difflib
import os
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import DataError
from ..files import read_csv

EXTENSIONS = (".mha", ".mhd", ".nii", ".nii.gz")
SEQUENCES = ("t1", "t2", "t2_SPACE")
SUBSETS = ("training", "validation")
SHEET = ("volume", "patient", "sequence", "image", "mask", "subset")
NAME = re.compile(rf"(?P<patient>[A-Za-z0-9]+)_(?P<sequence>{'|'.join(SEQUENCES)})")
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # part of result paths
PATIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
SIDECARS = (".raw", ".zraw")  # the voxels of an .mhd header
LITTER = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Source:
    """One series: its patient and sequence, and the paths of its image and mask (files, or folders of DICOM slices)."""

    patient: str
    sequence: str
    image: str
    mask: str
    subset: str = ""


def parse_name(name: str) -> tuple[str, str]:
    """(patient, sequence) of a volume name such as `12_t2_SPACE`. Raises DataError."""
    match = NAME.fullmatch(name)
    if not match:
        raise DataError(
            f"{name!r} is not a volume name; expected PATIENT_SEQUENCE such as 12_t2_SPACE, with letters "
            "and digits for the patient and t1, t2 or t2_SPACE for the sequence; rename or remove the file, "
            "or list the volumes in a sample sheet (config key `sheet`)"
        )
    return match["patient"], match["sequence"]


def volume_key(name: str) -> list[int | str]:
    """Sort key that puts 2_t1 before 10_t1."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def parts(path: str | Path) -> list[str]:
    """The files of one stored volume: all files of a DICOM folder, an .mhd with its voxels, or the one file."""
    if os.path.isdir(path):
        return [entry.path for entry in sorted(os.scandir(path), key=lambda e: e.name) if _counts(entry.name)]
    voxels = [os.path.splitext(path)[0] + ending for ending in SIDECARS] if str(path).endswith(".mhd") else []
    return [str(path), *filter(os.path.isfile, voxels)]


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in LITTER


def _name(path: Path) -> str:
    """Volume name of a file, or of a folder of DICOM slices."""
    if path.is_dir():
        return path.name
    ending = next((e for e in sorted(EXTENSIONS, key=len, reverse=True) if path.name.endswith(e)), None)
    if ending is None:
        raise DataError(
            f"{path}: expected a volume ({', '.join(EXTENSIONS)}, or a folder of DICOM slices); "
            "move it out of the dataset"
        )
    return path.name.removesuffix(ending)


def find_volumes(root: str | Path) -> dict[str, Source]:
    """The volumes of a SPIDER-style folder: {name: Source}, in natural order.

    Expects files of the same names in `root`/images and `root`/masks. Raises DataError for a missing
    folder, no data, an invalid name, a volume stored twice, an image without a mask, or a mask without
    an image.
    """
    root = Path(root)
    found: dict[str, dict[str, str]] = {}
    for kind in ("images", "masks"):
        folder = root / kind
        if not folder.is_dir():
            raise DataError(
                f"{folder}: no such folder; expected a dataset in SPIDER's layout (images/ and masks/ with equally "
                "named files). `snakemake download --configfile config/spider.yaml` fetches SPIDER (3.8 GB); "
                "`--config root=FOLDER` names your own; `--config root=phantom` needs no data"
            )
        found[kind] = {}
        for path in sorted(folder.iterdir()):
            if not _counts(path.name) or path.name.endswith(SIDECARS):
                continue
            name = _name(path)
            try:
                parse_name(name)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            if name in found[kind]:
                raise DataError(f"{path}: the volume is also stored as {found[kind][name]}; keep one of them")
            found[kind][name] = str(path)
    for kind, other in (("images", "masks"), ("masks", "images")):
        alone = sorted(found[kind].keys() - found[other].keys(), key=volume_key)
        if alone:
            raise DataError(
                f"{found[kind][alone[0]]}: has no counterpart in {root / other} "
                f"({len(alone)} such in all); add it or remove this file"
            )
    if not found["images"]:
        raise DataError(f"{root / 'images'}: holds no volumes; expected files such as 1_t2.mha")
    return {
        name: Source(*parse_name(name), found["images"][name], found["masks"][name])
        for name in sorted(found["images"], key=volume_key)
    }


def read_sheet(path: str | Path) -> dict[str, Source]:
    """The volumes of a sample sheet: {name: Source}, in the sheet's order.

    A CSV file with the columns volume, patient, sequence, image, mask and, for the official split,
    subset (training or validation). Paths are relative to the sheet's folder, or absolute. Raises
    DataError, naming the line where there is one, for a missing or unknown column, an invalid name
    or value, a volume, image or mask listed twice, a patient in two subsets, and a missing file.
    """
    folder = Path(path).parent
    if not Path(path).is_file():
        raise DataError(f"{path}: no such sample sheet; expected a CSV file with the columns {', '.join(SHEET)}")
    rows = read_csv(path)
    if not rows:
        raise DataError(f"{path}: lists no volumes; expected a line for each under {', '.join(SHEET)}")
    for column in rows[0]:
        if column not in SHEET:
            near = difflib.get_close_matches(str(column), SHEET, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(SHEET)}"
            raise DataError(f"{path}: unknown column {column!r}; {hint}")
    missing = [column for column in SHEET[:-1] if column not in rows[0]]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]!r}; expected {', '.join(SHEET)} (subset may be left out)")
    volumes: dict[str, Source] = {}
    first: dict[str, int] = {}
    subsets: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        where = f"{path}, line {line}"
        if any(row[column] is None for column in SHEET[:-1]):
            raise DataError(f"{where}: has fewer cells than columns")
        row = {column: (row.get(column) or "").strip() for column in SHEET}
        for column, pattern in (("volume", VOLUME), ("patient", PATIENT)):
            if not pattern.fullmatch(row[column]):
                raise DataError(
                    f"{where}: {row[column]!r} is no name for a {column}; use letters, digits, `_` and `-`, "
                    "beginning with a letter or digit"
                )
        for column, known in (("sequence", SEQUENCES), ("subset", ("", *SUBSETS))):
            if row[column] not in known:
                raise DataError(
                    f"{where}: {column} is {row[column]!r}; expected {' or '.join(name for name in known if name)}"
                )
        if row["volume"] in volumes:
            raise DataError(f"{where}: volume {row['volume']} is listed twice, first in line {first[row['volume']]}")
        if subsets.setdefault(row["patient"], row["subset"]) != row["subset"]:
            raise DataError(f"{where}: patient {row['patient']} stands in two subsets; put all of a patient in one")
        for column in ("image", "mask"):
            row[column] = _listed(folder, row[column], f"{where}: {column}")
            if row[column] in first:
                raise DataError(f"{where}: {column} {row[column]} is listed before, in line {first[row[column]]}")
        first |= dict.fromkeys((row["volume"], row["image"], row["mask"]), line)
        volumes[row["volume"]] = Source(*(row[c] for c in ("patient", "sequence", "image", "mask", "subset")))
    return volumes


def _listed(folder: Path, text: str, where: str) -> str:
    """Path of an image or mask of a sheet: absolute, or below the sheet's folder."""
    if not text or ".." in Path(text).parts:
        raise DataError(f"{where} is {text!r}; expected a path below the sheet's folder, or an absolute one")
    path = os.path.join(folder, text)
    if not os.path.exists(path):
        raise DataError(f"{where} {path}: no such file")
    _name(Path(path))
    return path


def duplicates(digests: Mapping[str, Hashable]) -> list[list[str]]:
    """Groups of names with equal digests: [[names of one image], ...]. digests: {name: one sha256 or several}."""
    same: dict[Hashable, list[str]] = {}
    for name, digest in digests.items():
        same.setdefault(digest, []).append(name)
    return [names for names in same.values() if len(names) > 1]
