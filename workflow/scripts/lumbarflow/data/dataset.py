"""Find the volumes of a dataset: in a folder in SPIDER's layout, or in a sample sheet."""

import difflib
import os
import re
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import DataError, files
from . import tables

EXTENSIONS = (".mha", ".mhd", ".nii", ".nii.gz", ".dcm")
RESERVED = "`all`, `paper` or `property`"  # every sequence together; columns of tables
# part of result paths, and a column of tables
SEQUENCE = re.compile(r"(?!(?:all|paper|property)$)[A-Za-z0-9][A-Za-z0-9_-]*")
SUBSETS = ("training", "validation")
SHEET = ("volume", "patient", "sequence", "image", "mask", "subset", "series")
REQUIRED = SHEET[:5]
SEQUENCES = ("t1", "t2", "t2_SPACE")
NAME = re.compile(rf"(?P<patient>[A-Za-z0-9-]+)_(?P<sequence>{SEQUENCE.pattern})")
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # part of result paths
PATIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
SIDECARS = (".raw", ".zraw")  # the voxels of an .mhd header
AHEAD = 60  # seconds by which clocks of machines may differ
REPORT = "segmentation.json"  # in the folder of each scan that `segment` was given
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # with one of which DICOM begins that has no preamble
LITTER = ("Thumbs.db", "desktop.ini")  # and hidden files, `@eaDir` of network drives, and the .json beside an image


@dataclass(frozen=True)
class Source:
    """One series: its patient and sequence, and the paths of its image and mask (files, or folders of DICOM slices).

    mask: empty where there is none; series: which one of a DICOM folder, where it holds several."""

    patient: str
    sequence: str
    image: str
    mask: str
    subset: str = ""
    series: str = ""


def parse_name(name: str) -> tuple[str, str]:
    """(patient, sequence) of a volume name such as `12_t2_SPACE`. Raises DataError."""
    match = NAME.fullmatch(name)
    if not match:
        raise DataError(
            f"{name!r} is not a volume name; expected PATIENT_SEQUENCE such as 12_t2_SPACE: letters, digits and `-` "
            f"for the patient, letters, digits, `_` and `-` for the sequence, which is not {RESERVED}; rename or "
            "remove the file, or list the volumes in a sample sheet (config key `sheet`)"
        )
    return match["patient"], match["sequence"]


def volume_key(name: str) -> list[int | str]:
    """Sort key that puts 2_t1 before 10_t1."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def parts(path: str | Path) -> list[str]:
    """The files of one stored volume: all files of a DICOM folder, an .mhd with its voxels, or the one file; none of
    an empty path."""
    if not path:
        return []
    if os.path.isdir(path):
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        return [entry.path for entry in entries if entry.is_file() and counts(entry.name)]
    voxels = [os.path.splitext(path)[0] + ending for ending in SIDECARS] if str(path).lower().endswith(".mhd") else []
    return [str(path), *filter(os.path.isfile, voxels)]


def size(paths: Iterable[str]) -> int:
    """Bytes of some files together."""
    return sum(os.path.getsize(path) for path in paths)


def digest(paths: Iterable[str]) -> str:
    """Hexadecimal SHA-256 of the digests of some files, in that order."""
    return files.sha256("".join(files.sha256(Path(path).read_bytes()) for path in paths).encode())


def is_of_another(folder: Path, image: str) -> bool:
    """Whether a folder holds a result of `segment` of another image: of another size, or else another digest."""
    try:
        earlier, held = files.read_json(folder / REPORT), parts(image)
        if "bytes" not in earlier:  # it failed
            return False
        return bool(earlier["bytes"] != size(held) or earlier["sha256"] != digest(held))
    except (OSError, ValueError):
        return False  # no result yet, or no image: the phantom's are made by a rule


def counts(name: str) -> bool:
    """Whether a file or folder of this name is part of a dataset, and not what systems and tools leave behind."""
    return not name.startswith((".", "@")) and name not in LITTER and not name.lower().endswith(".json")


def walk(root: str | Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders at and below `root` with the sorted names in them, as os.walk gives them, links followed; without what
    systems leave behind, and without results of `segment`."""
    seen, top = set(), os.path.join(os.path.realpath(root), "")
    for folder, below, names in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen or {REPORT, "preview.png"} <= set(names):
            below.clear()
            continue
        seen.add(place)
        # links last: what lies in a folder itself is called by it; none to what holds all this
        links = {name for name in below if os.path.islink(os.path.join(folder, name))}
        outer = [
            name for name in links if top.startswith(os.path.join(os.path.realpath(os.path.join(folder, name)), ""))
        ]
        below[:] = sorted(filter(counts, {*below}.difference(outer)), key=lambda name: (name in links, name))
        yield Path(folder), below, sorted(filter(counts, names))


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted. Raises DataError if it may not be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check whose it is and its rights") from None


def is_dicom(path: str | Path) -> bool:
    """Whether a path is a folder, which holds slices, a .dcm, or a file without an ending that tells another format
    which begins as DICOM does, with its mark or without."""
    name = str(path).lower()
    if os.path.isdir(path) or name.endswith(".dcm"):
        return True
    if name.endswith((*EXTENSIONS, ".png")):
        return False
    try:
        with open(path, "rb") as opened:
            start = opened.read(132)
        return start[128:] == b"DICM" or start[:2] in FIRST_GROUPS
    except OSError:
        return False  # who reads it says why


def stem(path: Path) -> str:
    """Volume name of a file, or of a folder of DICOM slices. Raises DataError for what cannot be a volume."""
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: is a link to {os.readlink(path)}, which is not there; mend or remove it")
    if "{" in str(path) or "}" in str(path):
        raise DataError(f"{path}: holds {{ or }}, which mean something else to Snakemake; rename it, or link to it")
    if path.is_dir():
        return path.name
    ending = next((e for e in sorted(EXTENSIONS, key=len, reverse=True) if path.name.lower().endswith(e)), None)
    if ending is None and is_dicom(path):
        return path.name  # its last part may be a number: 1.2.840
    if ending is None:
        raise DataError(
            f"{path}: expected a volume ({', '.join(EXTENSIONS)}, or a folder of DICOM slices); "
            "move it out of the dataset"
        )
    return path.name[: -len(ending)]


def _check_case(volumes: Mapping[str, Source], where: str | Path) -> None:
    """Refuse names that differ only in case: volumes and sequences would share a path where the file system ignores it,
    and one patient, written in two ways, could come on both sides of a split."""
    for kind in ("patient", "sequence", "volume"):
        first: dict[str, tuple[str, str]] = {}
        for name, each in volumes.items():
            called = name if kind == "volume" else getattr(each, kind)
            other, volume = first.setdefault(called.lower(), (called, name))
            if other != called:
                raise DataError(
                    f"{where}: the {kind}s {other!r} (volume {volume}) and {called!r} (volume {name}) differ only in "
                    f"case; use one name, or, if these are two, names that differ in more"
                )


def find_volumes(root: str | Path) -> dict[str, Source]:
    """The volumes of a SPIDER-style folder: {name: Source}, in natural order.

    Expects files of the same names in `root`/images and `root`/masks; an image may lack its mask. Raises DataError for
    a BIDS dataset, a missing folder or one that may not be listed, no data, an invalid name, a volume stored twice, a
    mask without an image, and names that differ only in case.
    """
    root = Path(root)
    if (root / "dataset_description.json").is_file() and not (root / "images").is_dir():
        raise DataError(
            f"{root}: is a BIDS dataset; list its series first: `snakemake sheet --config root={root}`, look at "
            "results/sheet.csv, and go on with `--config sheet=results/sheet.csv`"
        )
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
        for path in _entries(folder):
            if not counts(path.name) or path.name.lower().endswith(SIDECARS):
                continue
            name = stem(path)
            try:
                parse_name(name)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            if name in found[kind]:
                raise DataError(f"{path}: the volume is also stored as {found[kind][name]}; keep one of them")
            found[kind][name] = str(path)
    alone = sorted(found["masks"].keys() - found["images"].keys(), key=volume_key)
    if alone:
        raise DataError(
            f"{found['masks'][alone[0]]}: has no counterpart in {root / 'images'} "
            f"({len(alone)} such in all); add it or remove this file"
        )
    if not found["images"]:
        raise DataError(f"{root / 'images'}: holds no volumes; expected files such as 1_t2.mha")
    volumes = {
        name: Source(*parse_name(name), found["images"][name], found["masks"].get(name, ""))
        for name in sorted(found["images"], key=volume_key)
    }
    _check_case(volumes, root)
    return volumes


def read_sheet(path: str | Path) -> dict[str, Source]:
    """The volumes of a sample sheet: {name: Source}, in the sheet's order.

    A table (see tables.read) with the columns volume, patient, sequence, image, mask (may be empty) and, if need be,
    subset (training or validation, for the official split) and series (number or name of one of several in a DICOM
    folder); others are ignored here. Paths are relative to the sheet's folder, or absolute. Raises DataError, naming
    the line where there is one, for a missing column, an invalid name or value, a volume or image listed twice, a mask
    of two patients, a patient in two subsets, a missing file, and names that differ only in case.
    """
    folder = Path(path).parent
    if not Path(path).is_file():
        raise DataError(f"{path}: no such sample sheet; expected a CSV file with the columns {', '.join(SHEET)}")
    table = tables.read(path, REQUIRED)
    if not table.rows:
        raise DataError(f"{path}: lists no volumes; expected a line for each under {', '.join(SHEET)}")
    near = difflib.get_close_matches("subset", [name for name in table.columns if name not in SHEET], 1, 0.75)
    if near and "subset" not in table.columns:
        raise DataError(f"{path}: unknown column {near[0]!r}; did you mean 'subset'?")
    volumes: dict[str, Source] = {}
    first: dict[str, int] = {}
    subsets: dict[str, str] = {}
    masks: dict[str, str] = {}
    for line, cells in zip(table.lines, table.rows, strict=True):
        where, row = f"{path}, line {line}", {column: cells.get(column, "") for column in SHEET}
        for column, pattern in (("volume", VOLUME), ("patient", PATIENT)):
            if not pattern.fullmatch(row[column]):
                raise DataError(
                    f"{where}: {row[column]!r} is no name for a {column}; use letters, digits, `_` and `-`, "
                    "beginning with a letter or digit"
                )
        if not SEQUENCE.fullmatch(row["sequence"]):
            raise DataError(
                f"{where}: sequence is {row['sequence']!r}; expected a name of letters, digits, `_` and `-`, not "
                f"{RESERVED}"
            )
        if row["subset"] not in ("", *SUBSETS):
            raise DataError(f"{where}: subset is {row['subset']!r}; expected {' or '.join(SUBSETS)}, or none")
        if row["volume"] in volumes:
            raise DataError(f"{where}: volume {row['volume']} is listed twice, first in line {first[row['volume']]}")
        if subsets.setdefault(row["patient"], row["subset"]) != row["subset"]:
            raise DataError(f"{where}: patient {row['patient']} stands in two subsets; put all of a patient in one")
        for column in ("image", "mask") if row["mask"] else ("image",):
            row[column] = _listed(folder, row[column], f"{where}: {column}")
            # a patient's series that lie on one grid may share a mask
            shared = column == "mask" and masks.get(row["mask"]) == row["patient"]
            key = f"{row[column]}, series {row['series']}" if column == "image" and row["series"] else row[column]
            if key in first and not shared:
                raise DataError(f"{where}: {column} {key} is listed before, in line {first[key]}")
            first[key] = line
        first[row["volume"]] = line
        masks[row["mask"]] = row["patient"]
        volumes[row["volume"]] = Source(**{column: row[column] for column in SHEET[1:]})
    _check_case(volumes, path)
    return volumes


def _listed(folder: Path, text: str, where: str) -> str:
    """Path of an image or mask of a sheet: absolute, or below the sheet's folder."""
    if not text or ".." in Path(text).parts:
        raise DataError(f"{where} is {text!r}; expected a path below the sheet's folder, or an absolute one")
    path = os.path.join(folder, text)
    if not os.path.exists(path):
        raise DataError(f"{where} {path}: no such file")
    stem(Path(path))
    return path


def duplicates(digests: Mapping[str, Hashable]) -> list[list[str]]:
    """Groups of names with equal digests: [[names of one image], ...]. digests: {name: one sha256 or several}."""
    same: dict[Hashable, list[str]] = {}
    for name, digest in digests.items():
        same.setdefault(digest, []).append(name)
    return [names for names in same.values() if len(names) > 1]


def check_times(paths: Iterable[str]) -> None:
    """Raise DataError for a file, or one of a stored volume, whose time lies in the future: Snakemake would take all
    that is made of it for older, and remove it."""
    now = time.time()
    for path in (path for whole in paths for path in parts(whole)):
        ahead = os.stat(path).st_mtime - now
        if ahead > AHEAD:
            raise DataError(
                f"{path}: its time lies {ahead / 60:.0f} minutes in the future, so that nothing made of it would seem "
                "newer; set it with `touch`, or the clock of this machine"
            )
