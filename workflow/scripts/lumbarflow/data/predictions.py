"""Predicted label volumes: which file is which volume's, of another program, and beside our own predictions.csv."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from .. import DataError, files
from . import tables
from .dataset import EXTENSIONS, counts, stem


def find(path: str | Path, volumes: Collection[str], key: str = "predictions") -> dict[str, str]:
    """{volume: path of its prediction}, of the volumes of a dataset.

    path: a folder with files (or folders of DICOM slices) that are named as the volumes, or a sheet with the columns
    volume and prediction. What belongs to no volume is left out. key: of the config, for messages. Raises DataError for
    a path that is not there, a volume predicted twice, and where no file belongs to any volume.
    """
    if not os.path.exists(path):
        raise DataError(f"{key}: {path}: no such folder or sheet; it names the label volumes that a program predicted")
    found: dict[str, str] = {}
    others = []
    for name, file in _listed(Path(path)) if os.path.isfile(path) else _below(Path(path)):
        if name in found:
            raise DataError(f"{key}: {file}: volume {name} is also predicted in {found[name]}; keep one of them")
        if name in volumes:
            found[name] = file
        else:
            others.append(name)
    if not found:
        such = f"; found {', '.join(sorted(others)[:3])}" if others else ""
        raise DataError(
            f"{key}: {path}: no file is named as a volume of the dataset; expected such as {next(iter(volumes))}.nii.gz"
            f"{such}; rename them, or list them in a sheet (columns volume, prediction)"
        )
    return found


def check(wanted: Collection[str], given: Collection[str], where: str) -> None:
    """Raise DataError that lists the volumes without a prediction: nothing may count that is not scored."""
    missing = [name for name in wanted if name not in given]
    if missing:
        raise DataError(
            f"{where}: no prediction of {len(missing)} of {len(wanted)} test volumes: {', '.join(missing)}; add them, "
            "or name other `folds` or `sequences`"
        )


def _below(folder: Path) -> list[tuple[str, str]]:
    """(name, path) of what may be a volume in a folder; programs leave other files beside their results."""
    entries = sorted(entry for entry in folder.iterdir() if counts(entry.name))
    return [(stem(path), str(path)) for path in entries if path.is_dir() or path.name.lower().endswith(EXTENSIONS)]


def _listed(sheet: Path) -> list[tuple[str, str]]:
    table, found = tables.read(sheet, ("volume", "prediction")), []
    for line, row in zip(table.lines, table.rows, strict=True):
        path = sheet.parent / row["prediction"]
        if not row["prediction"] or not path.exists():
            raise DataError(f"{sheet}, line {line}: prediction {str(path)!r}: no such file or folder")
        found.append((row["volume"], str(path)))
    return found


def whole(table: str | Path, folder: str = "volumes") -> list[Path]:
    """The volumes, in this folder beside a predictions.csv or structures.csv, of which the table gives the digests: of
    a split of slices none. Raises DataError if one is missing, or is not the file that the table describes."""
    digests = {f"{row['volume']}.mha": row["volume_sha256"] for row in files.read_csv(table) if row["volume_sha256"]}
    paths = [Path(table).with_name(folder) / name for name in sorted(digests)]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: is missing; delete {table} and run again")
        if files.sha256(path.read_bytes()) != digests[path.name]:
            raise DataError(f"{path}: is not the file its table describes; delete {table} and run again")
    return paths
