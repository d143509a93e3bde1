"""List the series of a BIDS dataset or of DICOM studies as a sample sheet."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pydicom

from .. import DataError
from . import dicom, tables
from .dataset import SHEET, walk

Row = dict[str, str]  # of a sample sheet

MASKS = ("dseg", "mask")  # BIDS' suffixes of segmentations
# entities that only derivatives have
OWN = {"description", "label", "segmentation", "space", "resolution", "density", "hash"}
NAMING = {"subject", "session", "run", "datatype", "suffix", "extension"}  # entities that name no kind of picture


def list_series(root: str | Path) -> list[Row]:
    """Rows of a sample sheet for a BIDS dataset (dataset_description.json) or a folder of DICOM studies.

    Raises DataError, naming the folder, if it is neither, or holds no series.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; `--config root=FOLDER` names a BIDS dataset or DICOM studies")
    rows = list_bids(root) if (root / "dataset_description.json").is_file() else list_dicom(root)
    if not rows:
        raise DataError(
            f"{root}: holds no series; expected a BIDS dataset (dataset_description.json, sub-*/**/anat/*.nii.gz under "
            "names that BIDS knows, such as sub-1_acq-STIR_T2w.nii.gz) or DICOM files; a folder with images/ and "
            "masks/ needs no list"
        )
    return rows


def list_bids(root: Path) -> list[Row]:
    """Rows for the anatomical pictures of a BIDS dataset, named by the rules of its schema; masks (dseg, mask) are
    looked for under derivatives/; columns age and sex of participants.tsv are kept."""
    log = logging.getLogger(__name__)
    images = {}
    for path in _anatomical(root):
        if found := _entities(root, path):
            images[path] = found
        else:
            log.warning("%s: left out: BIDS knows no such name; a STIR series is called sub-1_acq-STIR_T2w", path)
    masks = {}
    for folder in sorted(root.glob("derivatives/*")):
        for path in _anatomical(folder):
            if path.name.partition(".")[0].rpartition("_")[2] in MASKS:
                masks[path] = _entities(folder, path, derived=True)
    people = _participants(root / "participants.tsv")
    of: dict[Path, list[Path]] = {path: [] for path in images}
    for mask, entities in masks.items():
        pictures = _pictures_of(root, mask, entities, images)
        if not pictures:
            log.warning("%s: a mask of no picture, or of several; name its picture in its sidecar, as Sources", mask)
        for path in pictures:
            of[path].append(mask)
    rows = []
    for path, found in images.items():
        kind = [found["suffix"], *(value for name, value in found.items() if name not in NAMING)]
        row = {"volume": path.name.partition(".")[0], "patient": found["subject"], "sequence": "_".join(kind)}
        row = {column: text.replace("+", "-") for column, text in row.items()}  # BIDS' labels have no `-`, names no `+`
        row |= {"image": str(path), "mask": _only(path, of[path])}
        rows.append(row | people.get(f"sub-{found['subject']}", {}))
    return rows


def _anatomical(root: Path) -> list[Path]:
    """The NIfTI files below sub-*/**/anat, links followed."""
    folders = (each for subject in root.glob("sub-*") for each in walk(subject))
    return sorted(
        folder / name for folder, _, names in folders if folder.name == "anat" for name in names if ".nii" in name
    )


def _only(picture: str | Path, masks: Sequence[str | Path]) -> str:
    """The mask of a picture; none if there are several."""
    if len(masks) > 1:
        logging.getLogger(__name__).warning(
            "%s: has several masks (%s); name one in the sheet", picture, ", ".join(map(str, masks))
        )
    return str(masks[0]) if len(masks) == 1 else ""


def _entities(root: Path, path: Path, derived: bool = False) -> dict[str, str]:
    """BIDS' entities of a file's name, or nothing if its schema does not know such a file."""
    for rule in _rules()[derived]:
        if match := re.match(rule, path.relative_to(root).as_posix()):
            return {name: value for name, value in match.groupdict().items() if value}
    return {}


@cache
def _rules() -> tuple[list[str], ...]:
    """Patterns of pictures, and of derivatives."""
    import bidsschematools.rules
    import bidsschematools.schema

    schema = bidsschematools.schema.load_schema()
    kinds = (schema.rules.files.raw.anat, schema.rules.files.deriv.imaging)
    made = (bidsschematools.rules.regexify_filename_rules(known, schema, level=1) for known in kinds)
    return tuple([rule["regex"] for rule in each] for each in made)


def _pictures_of(
    root: Path, mask: Path, entities: Mapping[str, str], images: Mapping[Path, Mapping[str, str]]
) -> list[Path]:
    """The pictures that a mask is of: those that its sidecar names, or else the only one that its entities fit: whose
    entities they are, or else, since some tools drop them, the only one that has them and others. entities: of a name
    that BIDS knows, or none."""
    named = _sources(mask)
    if named:
        return [path for path in images if any(text.endswith(path.relative_to(root).as_posix()) for text in named)]
    wanted = {name: value for name, value in entities.items() if name not in OWN | {"suffix", "extension"}}
    fit: dict[bool, list[Path]] = {True: [], False: []}  # {whether the picture has no other entities: pictures}
    for path, found in images.items():
        has = {name: value for name, value in found.items() if name not in ("suffix", "extension")}
        if wanted and wanted.items() <= has.items() and entities.get("space", "orig") in ("orig", found["suffix"]):
            fit[wanted == has].append(path)
    pictures = fit[True] or fit[False]
    return pictures if len(pictures) == 1 else []


def _sources(mask: Path) -> list[str]:
    """The files that a derivative's sidecar says it was made of."""
    try:
        content = json.loads((mask.parent / (mask.name.partition(".")[0] + ".json")).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    listed = [content.get(key) or [] for key in ("Sources", "RawSources")] if isinstance(content, dict) else []
    return [str(each) for value in listed for each in (value if isinstance(value, list) else [value])]


def _participants(path: Path) -> dict[str, Row]:
    """{participant_id: age and sex}."""
    if not path.is_file():
        return {}
    rows = tables.read(path, ["participant_id"]).rows
    absent = ("", "n/a")
    return {
        row["participant_id"]: {key: row[key] for key in ("age", "sex") if row.get(key, "") not in absent}
        for row in rows
    }


@dicom.quiet()
def list_dicom(root: Path, below: Iterable[tuple[Path, Sequence[str]]] | None = None, least: int = 2) -> list[Row]:
    """Rows for each series of at least so many slices below a folder, localisers apart; a segmentation is the mask of
    the series it refers to. Patients are numbered; what their headers call them goes nowhere.

    below: the folders that are searched, with the names in each; all, if not given.
    """
    log = logging.getLogger(__name__)
    patients: dict[str, str] = {}
    rows: dict[str, Row] = {}
    masks: dict[str, list[str]] = {}
    nameless, folders = 0, dict[tuple[str, ...], Path]()
    for folder, names in ((folder, names) for folder, _, names in walk(root)) if below is None else below:
        try:
            found = dicom.index(folder / name for name in names)
        except DataError as error:  # of all that is in this folder
            log.warning("left out: %s", error)
            continue
        for fault in dict.fromkeys(each.fault for each in found if each.fault):
            log.warning("%s", fault)  # and again by who reads it
        for series in (each for each in found if each.modality != "SEG" and not each.localiser):
            lies = Path(series.frames[0].file).resolve().parent  # of a link, what it leads to
            if (other := folders.setdefault(series.key(str(lies)), lies)) != lies:
                raise DataError(
                    f"{lies}: slices of a DICOM series of which others lie in {other}; put all of them into one "
                    "folder if they are of one patient, or take out those that are there twice"
                )
            if len(series.frames) < least:
                continue
            nameless += not series.patient
            who = patients.setdefault(series.patient, f"P{len(patients) + 1:03d}")
            kind = re.sub(r"[^A-Za-z0-9]+", "_", series.name).strip("_") or f"series_{series.number}"
            row = {"volume": _free(f"{who}_{series.number or len(rows) + 1}", rows), "patient": who, "sequence": kind}
            same = [each for each in found if series.number in (each.number, each.name)]
            row |= {"image": str(folder), "series": series.number if series.number and len(same) == 1 else series.uid}
            rows[row["volume"]] = row | {"mask": "", "uid": series.uid}
        for file in (file for each in found if each.modality == "SEG" for file in each.files):
            masks.setdefault(_referenced(file), []).append(file)
    if nameless:
        log.warning(
            "%s: series without a PatientID: %d, listed as one patient, %s; give each patient a name in the sheet",
            *(root, nameless, patients[""]),
        )
    known = Counter(row["uid"] for row in rows.values())
    for row in rows.values():
        uid = row.pop("uid")
        row["mask"] = _only(row["volume"], masks.get(uid, []) if uid and known[uid] == 1 else [])
    return list(rows.values())


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """A name that is not taken yet."""
    return next(each for each in (name, *(f"{name}-{k}" for k in range(2, 10_000))) if each not in taken)


def _referenced(file: str) -> str:
    """UID of the first series that a segmentation refers to, or nothing. Raises DataError."""
    key = "ReferencedSeriesSequence"
    try:
        value = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[key], force=True).get(key)
        return str(value[0].get("SeriesInstanceUID", "")) if value else ""
    except dicom.FAULTS:
        raise DataError(f"{file}: its {key} cannot be read; replace the file, or take it out") from None


def columns(rows: Sequence[Row]) -> list[str]:
    """Columns of a sheet of these rows: all that a sheet has, then the others."""
    return list(dict.fromkeys([*SHEET, *(name for row in rows for name in row)]))
