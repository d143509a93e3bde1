"""Segment one scan by the networks of one or more models, measure what was found, and write all of it into a folder."""

from __future__ import annotations

import errno
import logging
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import DataError, files
from ..data import dataset, survey, volumes, writing
from ..data.new_scans import Scan
from ..learning import models as packages
from ..learning import scans
from ..learning.scans import Model
from ..measures import flags, morphometry, structures
from ..report import preview
from . import levels, viewer

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Options:
    """lowest: what the lowest vertebra is called, such as L5, or empty; entropy: whether to write a map of it;
    viewer: whether to write view.html; anonymous: whether to leave the patient's data out of the DICOM segmentation."""

    lowest: str = ""
    entropy: bool = False
    viewer: bool = False
    anonymous: bool = False


@dataclass(frozen=True)
class Result:
    """A segmented scan. labels: SPIDER's, uint8 [slices, H, W], canonical; rows, column: of morphometry.measure."""

    volume: volumes.Volume
    found: scans.Segmented
    labels: NDArray[np.uint8]
    rows: list[dict[str, Any]]
    column: dict[str, Any]
    flags: list[flags.Flag]
    models: Sequence[Model]


def segment(scan: Scan, models: Sequence[Model]) -> Result:
    """Segment and measure a scan. Raises DataError, with what is wrong with the scan: also for one that is not
    sagittal, or not MR."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "read"):
        volume = volumes.read(scan.image, scan.override, scan.series)
        if volume.modality not in (None, "", "MR"):
            raise DataError(
                f"{scan.image}: its DICOM header says that it is {volume.modality}; expected MR, which is all that the "
                "networks have seen; if it is MR, store it anew as NIfTI"
            )
        if (plane := survey.plane(volume)) != "sagittal":
            raise DataError(
                f"{scan.image}: its slices are {plane} ({volume.geometry}); expected sagittal ones, which are all that "
                "the networks have seen"
            )
    with _timed(seconds, "segment"):
        found = scans.segment(volume.array, volume.spacing, models)
    with _timed(seconds, "structures"):
        labels = structures.label(found.classes, volume.spacing)
    with _timed(seconds, "measure"):
        rows, column = morphometry.measure(labels, volume.spacing, volume.array)
        raised = list(dict.fromkeys(_flags(scan, volume, found, labels, rows, models)))
    logging.getLogger(__name__).info("%s: seconds %s", scan.image, seconds)
    return Result(volume, found, labels, rows, column, raised, models)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - started, 2)


def _flags(
    scan: Scan,
    volume: volumes.Volume,
    found: scans.Segmented,
    labels: NDArray[np.uint8],
    rows: Sequence[Mapping[str, Any]],
    models: Sequence[Model],
) -> Iterator[flags.Flag]:
    """Why a person should look at the result, the gravest reasons first."""
    yield from flags.of_levels(labels, volume.spacing)
    yield from flags.of_fragments(labels)
    yield from flags.of_folds(found.dice)
    for model, doubt in zip(models, found.doubt, strict=True):
        yield from flags.of_doubt(doubt, model.about["scores"]["entropy"])
    yield from flags.of_border(rows)
    for model, grey in zip(models, found.grey, strict=True):
        yield from flags.of_sequence(scan.sequence, model.about.get("sequences", ()))
        yield from flags.of_training(volume.spacing, volume.array.shape, grey, model.about["trained_on"])


def segment_into(
    folder: Path, name: str, scan: Scan, models: Sequence[Model], options: Options, software: str
) -> tuple[str, list[str]]:
    """`segment` and `write` into an empty folder. Returns why it failed, in one line, or an empty text, and what needs
    a look. A scan that fails does so alone: what is in the folder then says why. Raises MemoryError, and OSError of a
    full disk."""
    try:
        result = segment(scan, models)
        write(folder, name, scan, result, options, software)
        return "", [flag.reason for flag in result.flags]
    except MemoryError:
        raise  # more memory may help
    except DataError as error:
        failed = str(error)
    except OSError as error:
        if error.errno in FULL:
            raise
        failed = f"{error.filename or scan.image}: {error.strerror or error}"
    except Exception as error:
        logging.getLogger(__name__).exception("%s", scan.image)
        failed = f"{scan.image}: {type(error).__name__}: {error}; this is an error of the software, please report it"
    write_failure(folder, name, failed, software)
    return failed, []


def write(folder: Path, name: str, scan: Scan, result: Result, options: Options, software: str) -> None:
    """Write what belongs to a segmented scan into an empty folder; REPORT, which lists it, last of all, so that a
    folder with it is whole."""
    ending = ".mha" if Path(scan.image).suffix.lower() in (".mha", ".mhd") else ".nii.gz"  # DICOM too
    grid = result.volume.geometry
    writing.write(folder / f"structures{ending}", result.labels, grid)
    writing.write(folder / f"classes{ending}", result.found.classes, grid)
    if options.entropy:
        writing.write(folder / f"entropy{ending}", result.found.entropy, grid)
    called = levels.names(result.rows, options.lowest)
    if result.volume.modality is not None:
        from ..data import dicom_seg  # imports DICOM readers

        kept = writing.stored(result.labels, grid)
        dicom_seg.write(folder / "structures.dcm", kept, scan.image, scan.series, called, software, options.anonymous)
    rows = [{**row, "name": called.get(row["label"], "")} for row in result.rows]
    columns = ("label", "name", *morphometry.COLUMNS[1:])
    files.write_csv(folder / "measurements.csv", rows, columns)
    files.write_json(folder / "measurements.json", _plain({"structures": rows, "column": result.column}))
    figure = preview.draw(
        result.volume.array,
        result.labels,
        result.volume.spacing,
        name,
        [flag.reason for flag in result.flags],
        {label: text for label, text in called.items() if label < structures.CANAL_LABEL},
    )
    with files.replacing(folder / "preview.png") as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    preview.close(figure)
    if options.viewer:
        with files.replacing(folder / "view.html") as temporary:
            reasons = [flag.reason for flag in result.flags]
            text = viewer.page(result.volume.array, result.labels, result.volume.spacing, name, called, reasons)
            temporary.write_text(text, encoding="utf-8")
    report = {
        **{"scan": name, "software": software, "failed": ""},
        **asked(scan, result.models, options),
        "flags": [{"kind": flag.kind, "reason": flag.reason} for flag in result.flags],
        **{"dice_between_networks": result.found.dice, "column": result.column},
        "files": sorted(path.name for path in folder.iterdir()),
    }
    files.write_json(folder / dataset.REPORT, _plain(report))


def asked(scan: Scan, models: Sequence[Model], options: Options) -> dict[str, Any]:
    """What determines a result, apart from the software, as dataset.REPORT holds it."""
    parts = dataset.parts(scan.image)
    return {
        **{
            "sha256": dataset.digest(parts),
            "bytes": dataset.size(parts),
            "series": scan.series,
            "sequence": scan.sequence,
        },
        **{"spacing_mm": list(scan.spacing), "options": asdict(options)},
        "models": [{"name": model.about["name"], "sha256": model.sha256} for model in models],
    }


def write_failure(folder: Path, name: str, reason: str, software: str) -> None:
    """Write, in place of all else, why a scan has no result."""
    for path in folder.iterdir():
        path.unlink()
    files.write_json(folder / dataset.REPORT, {"scan": name, "software": software, "failed": reason})


def _plain(value: Any) -> Any:
    """The same for JSON, which knows no NaN."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(paths: Sequence[str | Path], modules: Collection[str] = ()) -> list[Model]:
    """The models of some packages. Arguments and errors as of models.load; none is an error too."""
    if not paths:
        raise DataError("no model is named for this scan's sequence; name one, or the sequence in a sheet")
    return [packages.load(path, modules) for path in paths]
