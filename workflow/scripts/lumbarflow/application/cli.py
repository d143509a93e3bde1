"""The command `lumbarflow`: what the rules segment and check_model do, without Snakemake."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import DataError, files, source
from ..data import dataset, new_scans
from ..job import software
from . import levels, summary

if TYPE_CHECKING:
    from ..data.new_scans import Scan
    from ..learning.scans import Model
    from .segment import Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 if a scan or a check failed."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("NUMBA_NUM_THREADS", str(asked.threads))
    try:
        return int(asked.run(asked))
    except DataError as error:
        print(f"lumbarflow: {error}", file=sys.stderr)
    except OSError as error:
        print(f"lumbarflow: {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("lumbarflow", description="Segment lumbar MRI by a packaged model.")
    commands = parser.add_subparsers(required=True)
    segmenting = commands.add_parser("segment", help="segment scans: a file, a folder, DICOM, BIDS, or a sheet")
    segmenting.add_argument("scans")
    shipped = source.shipped_model()
    segmenting.add_argument(
        *("--model", "-m"), action="append", metavar="FILE", help=f"several are averaged; without it: {shipped}"
    )
    segmenting.add_argument("--out", required=True, metavar="FOLDER")
    segmenting.add_argument("--spacing", default="", metavar="MM", help="of .png: slice, row, column: '4 0.6 0.6'")
    segmenting.add_argument("--lowest", default="", metavar="LEVEL", help="what the lowest vertebra is called: L5")
    segmenting.add_argument("--entropy", action="store_true", help="also a map of where the networks are unsure")
    segmenting.add_argument("--viewer", action="store_true", help="also view.html, to scroll through the scan")
    segmenting.add_argument("--anonymous", action="store_true", help="no patient's data in DICOM segmentations")
    checking = commands.add_parser("check", help="whether a model segments its test case as when it was made")
    checking.add_argument("model", nargs="?", default=shipped)
    for each, run in ((segmenting, _segment), (checking, _check)):
        each.add_argument(
            *("--module", "-M"), action="append", default=[], help="a module of your own that a model may use"
        )
        each.add_argument("--threads", type=int, default=os.cpu_count() or 1)
        each.set_defaults(run=run)
    return parser


def _check(asked: argparse.Namespace) -> bool:
    from ..learning import device

    device.choose("cpu", asked.threads)
    from ..learning import models

    found = models.check(asked.model, asked.module)
    print(models.verdict(found))
    return not found["passed"]


def _segment(asked: argparse.Namespace) -> bool:
    levels.check(asked.lowest, "--lowest")
    found = new_scans.find(asked.scans, new_scans.spacing_of(asked.spacing, "--spacing"))
    out = Path(asked.out)
    _check_ours(out, found)
    out.mkdir(parents=True, exist_ok=True)
    if not asked.model:
        print(f"No model is given: {source.shipped_model()} comes with the software; its card says what it is.")
    from ..learning import device

    device.choose("cpu", asked.threads)
    from . import segment

    models, options = (
        segment.load(asked.model or [source.shipped_model()], asked.module),
        segment.Options(asked.lowest, asked.entropy, asked.viewer, asked.anonymous),
    )
    for number, (name, scan) in enumerate(found.items(), 1):
        print(f"{number} of {len(found)}: {name}: {_segment_one(out / name, name, scan, models, options)}", flush=True)
    folders = [out / name for name in found]
    rows = summary.rows(folders)
    files.write_csv(out / "summary.csv", rows, summary.COLUMNS)
    with files.replacing(out / "gallery.html") as temporary:
        temporary.write_text(summary.gallery(rows, folders), encoding="utf-8")
    failed = sum(bool(row["failed"]) for row in rows)
    print(f"{len(rows)} scans, {failed} failed: {out / 'summary.csv'}, {out / 'gallery.html'}")
    return failed > 0


def _check_ours(out: Path, names: Iterable[str]) -> None:
    """Raise DataError if results would replace files that this command did not write."""
    for folder in (out / name for name in names):
        held = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name] * folder.exists()
        if dataset.REPORT not in held and {*held}.difference((*dataset.LITTER, ".DS_Store")):
            raise DataError(
                f"{folder}: would be replaced, but is no result of lumbarflow (it has no {dataset.REPORT}); "
                "name another --out"
            )
    for path, mark in (
        (out / "summary.csv", ",".join(summary.COLUMNS[:2])),
        (out / "gallery.html", "<title>New scans"),
    ):
        if path.exists() and mark not in path.read_text(encoding="utf-8", errors="replace")[:500]:
            raise DataError(f"{path}: would be replaced, but is not of lumbarflow; name another --out")


def _segment_one(folder: Path, name: str, scan: Scan, models: Sequence[Model], options: Options) -> str:
    """Segment a scan, unless its folder holds the same result; returns what became of it."""
    from . import segment

    if _is_done(folder, lambda: {"software": software(), **segment.asked(scan, models, options)}):
        return "done before"
    if dataset.is_of_another(folder, scan.image):
        print(f"Scan {name}: the result in {folder} is of another file; it is replaced.")
    with files.replacing_folder(folder) as temporary:
        try:
            failed, reasons = segment.segment_into(temporary, name, scan, models, options, software())
        except MemoryError:
            failed, reasons = f"{scan.image}: the machine has not enough memory for it", []
            segment.write_failure(temporary, name, failed, software())
    return f"failed: {failed}" if failed else f"needs a look: {'; '.join(reasons)}" if reasons else "done"


def _is_done(folder: Path, expected: Callable[[], Mapping[str, Any]]) -> bool:
    """Whether a folder holds a finished result of the same scan, models, options and software, and all its files."""
    try:
        report = files.read_json(folder / dataset.REPORT)
        if not isinstance(report, dict) or report.get("failed") or not expected().items() <= report.items():
            return False
        return all((folder / name).is_file() for name in report["files"])
    except (OSError, ValueError, LookupError, TypeError):  # DataError too
        return False


if __name__ == "__main__":
    sys.exit(main())
