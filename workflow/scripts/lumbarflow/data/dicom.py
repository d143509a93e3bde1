"""Read DICOM: series of single slices, enhanced multi-frame files, and segmentations (DICOM-SEG).

A folder may hold a whole study. No name, birth date or accession number of a header is read; the patient's number is
compared, so that no two patients become one scan, and shown nowhere.
"""

from __future__ import annotations

import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.errors import BytesLengthException, InvalidDicomError

from .. import DataError
from .dataset import FIRST_GROUPS, parts
from .geometry import ANGLE, ROUNDING, Geometry, angle
from .headers import Stored, check_size, flat

TAGS = [
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "ImageType", "Rows", "Columns"),
    *("NumberOfFrames", "SamplesPerPixel", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SOPClassUID"),
    *("RescaleSlope", "RescaleIntercept", "PixelRepresentation", "SpacingBetweenSlices", "SliceThickness"),
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"),
]
# where enhanced files keep what others keep on top
GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}
# what pydicom, highdicom and ITK raise for damaged files
FAULTS: tuple[type[Exception], ...]
FAULTS = (AttributeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError, EOFError, OSError)
FAULTS += (RuntimeError, MemoryError, InvalidDicomError, BytesLengthException, struct.error, zlib.error)
SCREENSHOT = "1.2.840.10008.5.1.4.1.1.7."  # Secondary Capture, and how its multi-frame kinds begin


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings, since those of pydicom and highdicom quote what they find: a name, a birth date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Frame:
    """One slice: its file and place in it, position (mm) of its first pixel, directions of its rows and columns [6],
    mm from row to row and from column to column, slope and intercept of its values, whether they have a sign, and mm
    from slice to slice as it says, or 0; slices that lie beside others are where their positions say."""

    file: str
    number: int
    position: tuple[float, ...]
    turn: tuple[float, ...]
    spacing: tuple[float, ...]
    scale: tuple[float, float]
    signed: bool
    thickness: float


@dataclass
class Series:
    """The slices of one series. patient, study, space: whose it is and in which coordinates, to compare, never to show;
    name: as the header says, for messages; files: those of all its slices, of a segmentation too; fault: why it cannot
    be read, since some of it is damaged."""

    patient: str = field(repr=False)
    study: str = field(repr=False)
    space: str = field(repr=False)
    uid: str
    number: str
    name: str
    modality: str
    localiser: bool
    size: tuple[int, int]
    values: int
    frames: list[Frame] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    fault: str = ""

    def key(self, folder: str) -> tuple[str, ...]:
        """What tells this series, in this folder, from others: anonymised ones may lack a UID, or share it."""
        return (self.patient, self.uid) if self.uid else (self.patient, self.study, folder)

    def __str__(self) -> str:
        rows, columns = self.frames[0].spacing if self.frames else (0, 0)
        size = f"{len(self.frames)} slices, {rows:g} x {columns:g} mm"
        return f"{self.number or self.uid} ({self.name or 'no name'}, {size})"


@quiet()
def index(files: Iterable[str | Path]) -> list[Series]:
    """The series in DICOM files, from their headers alone; other files, objects without pixels and screenshots without
    a place are passed over, and, with a warning, series without places where there are others.

    Single slices of one patient that each have a series of their own are one series. Damaged headers are told by the
    `fault` of their series, or of all, where nothing says whose they are. Raises DataError, naming the file, if there
    is nothing else.
    """
    log = logging.getLogger(__name__)
    found: dict[tuple[str, ...], Series] = {}
    astray: dict[tuple[str, ...], str] = {}  # of a series, a file that does not say where its slices lie
    cut: dict[str, list[str]] = {}  # of a series, its pictures of which not even a size is known
    faults: dict[str, str] = {}  # of a series, or of an unknown one, the first
    for file in map(str, files):
        try:
            header = _header(file)
        except DataError as error:
            faults.setdefault("", str(error))
            continue
        if header is not None and "Rows" not in header and _is_picture(header):
            cut.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(file)
        if header is None or "Rows" not in header:
            continue
        if f"{header.get('SOPClassUID', '')}.".startswith(SCREENSHOT) and not _has_place(header):
            log.warning("%s: left out: a screenshot (secondary capture) without a place", file)
            continue
        key: tuple[str, ...] = ()  # unknown
        try:
            series = _series(header)
            key = series.key(os.path.dirname(file))
            series = found.setdefault(key, series)
            series.files.append(file)
            series.frames.extend(_frames(file, header) if series.modality != "SEG" else [])
        except FAULTS as error:
            log.info("%s: %s", file, error)
            astray.setdefault(key, file)
    for uid, names in cut.items():
        lost = f"{names[0]}: ends within its DICOM header (files of its series that do: {len(names)})"
        faults.setdefault(uid, f"{lost}, and without them the scan would be shorter; copy them anew")
    for key, file in astray.items():
        told = f"{file}: its DICOM header does not say where each slice lies; replace the file, or take it out"
        if key and not found[key].frames:
            del found[key]
            if any(each.frames and not each.localiser for each in found.values()):
                log.warning("%s: left out, its series: no header says where a slice lies", file)
                continue
            key = ()  # it may be the scan that is wanted
        faults.setdefault(found[key].uid if key else "", told)
    series_found = list(found.values())
    for each in series_found:
        each.fault = faults.get(each.uid) or faults.get("", "")
    for uid in faults.keys() - {"", *(each.uid for each in series_found)}:
        log.warning("%s", faults[uid])
    if faults and not series_found:
        raise DataError(next(iter(faults.values())))
    return _merged(series_found)


def _merged(found: list[Series]) -> list[Series]:
    """The same, or one series, if each is a slice of it: then they have all UIDs in common, or, as ITK writes slices
    that are given none, not one."""
    patients = {(one.patient, one.size, one.number, one.name) for one in found}
    of_all = all(len({getattr(one, uid) for one in found}) in (1, len(found)) for uid in ("study", "space"))
    single = all(len(each.files) == len(each.frames) == 1 for each in found)
    if len(found) < 3 or not single or len(patients) > 1 or not of_all:
        return found
    logging.getLogger(__name__).info("%d slices, each of a series of its own, taken for one series", len(found))
    for other in found[1:]:
        found[0].frames += other.frames
        found[0].files += other.files
        found[0].fault = found[0].fault or other.fault
    return found[:1]


def _is_picture(header: Any) -> bool:
    """Whether a header is of a kind of object that has pixels, or cut before it says of which."""
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""
    return "Image Storage" in pydicom.uid.UID(kind).name if kind else header.preamble is not None


def _has_place(header: Any) -> bool:
    """Whether a header says where its first slice lies."""
    groups = [header.get(f"{whose}FunctionalGroupsSequence") or [] for whose in ("Shared", "PerFrame")]
    return "ImagePositionPatient" in header or any("PlanePositionSequence" in each[0] for each in groups if each)


def _header(file: str) -> Any:
    """Header of a DICOM file, or None for another file. Without a preamble it begins with an element of the first
    groups, as other files may."""
    sure = True
    try:
        with open(file, "rb") as opened:
            start = opened.read(132)
        sure = start[128:] == b"DICM"
        if not sure and start[:2] not in FIRST_GROUPS:
            return None
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS, force=not sure)
    except FAULTS as error:
        logging.getLogger(__name__).info("%s: %s", file, error)
        if not sure:
            return None
        raise DataError(f"{file}: its DICOM header cannot be read; replace the file, or take it out") from None


def _series(header: Any) -> Series:
    size = (int(header.Rows), int(header.Columns))
    whose = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID")
    patient, study, space, uid, number, name, modality = (
        str(header.get(key, "") or "").strip() for key in (*whose, "SeriesNumber", "SeriesDescription", "Modality")
    )
    localiser = "LOCALIZER" in (header.get("ImageType") or [])
    values = int(header.get("SamplesPerPixel", 1) or 1)
    return Series(patient, study, space, uid, number, name, modality, localiser, size, values)


def _frames(file: str, header: Any) -> list[Frame]:
    """The slices of one file."""
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or []), None)

    def value(key: str, number: int, default: Any = None) -> Any:
        for group in (groups[number] if groups else None, shared):
            inner = next(iter(group.get(GROUPS[key]) or []), None) if group is not None else None
            if inner is not None and key in inner:
                return default if inner[key].is_empty else inner[key].value
        return default if key not in header or header[key].is_empty else header[key].value

    frames = []
    for number in range(int(header.get("NumberOfFrames", 1) or 1)):
        position, turn, spacing = (
            tuple(map(float, value(key, number)))
            for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        )
        scale = float(value("RescaleSlope", number, 1)), float(value("RescaleIntercept", number, 0))
        if (len(position), len(turn), len(spacing)) != (3, 6, 2):
            raise ValueError("wrong number of values")
        thick = value("SpacingBetweenSlices", number) or value("SliceThickness", number)
        signed = bool(header.get("PixelRepresentation"))
        frames.append(Frame(file, number, position, turn, spacing, scale, signed, _length(thick)))
    return frames


def _length(value: Any) -> float:
    """Millimetres that a header says; 0 for what is none."""
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return 0.0


def choose(path: str | Path, found: Sequence[Series], wanted: str = "") -> Series:
    """The series of this UID, number or else name; without one the only series that is no localiser and no
    segmentation.

    Raises DataError that lists the series there are, or says what is damaged of this one.
    """
    listed = "; ".join(map(str, found[:20])) + ("; ..." if len(found) > 20 else "")
    if wanted:
        ways = ([each for each in found if getattr(each, key) == wanted] for key in ("uid", "number", "name"))
        fit = next(filter(None, ways), [])
    else:
        fit = [series for series in found if not series.localiser and series.modality != "SEG"]
        fit = fit or [series for series in found if series.modality == "SEG"] or list(found)
    if not found:
        raise DataError(f"{path}: expected the slices of a DICOM series, found none")
    if len(fit) != 1:
        raise DataError(
            f"{path}: expected one DICOM series{f' {wanted!r}' if wanted else ''}, found {len(fit)} among: {listed}; "
            "name one by its number in the column `series` of a sample sheet, or give each a folder of its own"
        )
    if len(found) > 1:
        logging.getLogger(__name__).info("%s: series %s taken, of %s", path, fit[0], listed)
    if fit[0].fault:
        raise DataError(fit[0].fault)
    return fit[0]


@quiet()
def read(path: str | Path, wanted: str = "") -> Stored:
    """Read one series of a folder, or of one file. wanted: as of choose. Raises DataError, naming the path."""
    series = choose(path, index(_files(path)), wanted)
    if series.modality == "SEG":
        return _read_segmentation(path, series.files)
    if series.values != 1:
        raise flat(path, 3, series.values)
    check_size(path, [*series.size, len(series.frames)], 8)
    frames = _stacked(path, series.frames)
    told = len(frames) > 1 or frames[0].thickness > 0
    untold = {} if told else {"spacing": "it is a single slice whose header does not say how thick it is"}
    return Stored(_pixels(path, frames, series.size), _geometry(frames, series.size), untold, series.modality)


def _files(path: str | Path) -> list[str]:
    return parts(path) if os.path.isdir(path) else [str(path)]


@quiet()
def ordered(path: str | Path, wanted: str = "") -> list[Frame]:
    """The slices of the series that `read` would read, in the order of its array. Raises DataError."""
    return _stacked(path, choose(path, index(_files(path)), wanted).frames)


def _stacked(path: str | Path, frames: Sequence[Frame]) -> list[Frame]:
    """Slices in the order of their places. Raises DataError unless they are a stack: parallel, of one spacing, at
    equal steps along their normal."""
    turns = np.array([frame.turn for frame in frames])
    normal = np.cross(turns[0, :3], turns[0, 3:])
    farthest = max(turns, key=lambda turn: _apart(turns[0], turn))
    fan = max(_apart(farthest, turn) for turn in turns)
    if fan > ANGLE:
        raise DataError(
            f"{path}: the DICOM slices are turned against each other by up to {fan:.3g} degrees; expected parallel "
            "ones: these are several stacks or a fan, so give each stack a folder of its own"
        )
    if len({frame.spacing for frame in frames}) > 1 or len({(frame.scale, frame.signed) for frame in frames}) > 1:
        raise DataError(f"{path}: the DICOM slices differ in their spacing, or in the scale or sign of their values")
    stack = sorted(frames, key=lambda frame: float(np.dot(frame.position, normal)))
    if len(stack) == 1:
        return stack
    places = np.array([frame.position for frame in stack])
    steps = np.diff(places, axis=0)
    gaps = np.linalg.norm(steps, axis=1)
    even = np.linspace(places[0], places[-1], len(stack))  # where the grid will have them
    off = np.linalg.norm(places - even, axis=1)
    worst = int(off.argmax())
    if gaps.min() <= 0 or off[worst] > ROUNDING * float(np.linalg.norm(even[1] - even[0])):
        raise DataError(
            f"{path}: the DICOM slices are {gaps.min():.3g} to {gaps.max():.3g} mm apart, slice {worst + 1} of "
            f"{len(stack)} ({os.path.basename(stack[worst].file)}) lies {off[worst]:.3g} mm off equal steps; expected "
            "at most a tenth of a step: a slice is missing or there twice, or the scan has uneven gaps"
        )
    tilt = max(angle(step, normal) for step in steps)
    if tilt > ANGLE:
        raise DataError(
            f"{path}: the DICOM slices are stacked at {tilt:.3g} degrees to their normal (gantry tilt, or a sheared "
            "stack); resample them to a grid with right angles"
        )
    return stack


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Degrees between the rows or the columns of two slices, whichever is more."""
    return max(angle(one[axes], other[axes]) for axes in (slice(3), slice(3, 6)))


def _geometry(frames: Sequence[Frame], size: tuple[int, int]) -> Geometry:
    """Grid of slices in order; a single slice is as thick as it says, or 1 mm."""
    turn, first, last = np.array(frames[0].turn), np.array(frames[0].position), np.array(frames[-1].position)
    normal = np.cross(turn[:3], turn[3:])
    step = (last - first) / (len(frames) - 1) if len(frames) > 1 else normal * (frames[0].thickness or 1)
    rows, columns = frames[0].spacing
    thick = float(np.linalg.norm(step))
    cosines = np.stack([turn[:3], turn[3:], step / thick], axis=1)
    spacing, directions = (columns, rows, thick), tuple(map(float, cosines.ravel()))
    return Geometry((size[1], size[0], len(frames)), spacing, frames[0].position, directions)


def _pixels(path: str | Path, frames: Sequence[Frame], size: tuple[int, int]) -> NDArray[Any]:
    """Values [slices, rows, columns] of slices in order."""
    files = list(dict.fromkeys(frame.file for frame in frames))
    if len(files) not in (1, len(frames)):
        raise DataError(f"{path}: a series in several multi-frame files is not read; give each file by itself")
    try:
        array = _decoded(files, frames)
    except FAULTS as error:
        logging.getLogger(__name__).info("%s: %s", path, error)
        raise DataError(f"{path}: the DICOM slices cannot be read; replace the damaged or foreign files") from None
    if array.shape != (len(frames), *size):
        raise DataError(f"{path}: the DICOM slices are {array.shape}; their headers say {(len(frames), *size)}")
    return array


def _decoded(files: Sequence[str], frames: Sequence[Frame]) -> NDArray[Any]:
    """Values of frames, by ITK (JPEG, JPEG 2000, JPEG-LS), or else by pydicom (RLE, which ITK reads only in part)."""
    order = [frame.number for frame in frames]
    reader: Any = sitk.ImageSeriesReader() if len(files) > 1 else sitk.ImageFileReader()
    (reader.SetFileNames if len(files) > 1 else reader.SetFileName)(files if len(files) > 1 else files[0])
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
        return array if len(files) > 1 else array[order]
    except RuntimeError as error:
        logging.getLogger(__name__).info("ITK on %s: %s; trying pydicom", files[0], error)
    planes = [pydicom.dcmread(file, force=True).pixel_array for file in files]  # force: without a preamble
    array = np.stack(planes) if len(files) > 1 else planes[0].reshape(-1, *planes[0].shape[-2:])[order]
    slope, intercept = frames[0].scale
    return array if (slope, intercept) == (1, 0) else array * slope + intercept


def _read_segmentation(path: str | Path, files: Sequence[str]) -> Stored:
    """A DICOM-SEG: the labels are the numbers of its segments. Slices without any may be missing at its ends."""
    import highdicom  # seconds; only where there is one

    if len(files) != 1:
        raise DataError(f"{path}: expected one DICOM segmentation, found {len(files)}; give each a folder of its own")
    try:
        segmentation = highdicom.seg.segread(files[0])
        fractional = segmentation.segmentation_type == highdicom.seg.SegmentationTypeValues.FRACTIONAL
        volume = None if fractional else segmentation.get_volume(combine_segments=True, dtype=np.int32)
    except FAULTS as error:
        logging.getLogger(__name__).info("highdicom on %s: %s", files[0], error)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: is no segmentation of a volume that can be read ({reason})") from None
    if volume is None:
        raise DataError(f"{path}: is a fractional segmentation; expected a binary one or a label map")
    array, affine = np.asarray(volume.array), np.asarray(volume.affine, float)
    columns = affine[:3, 2::-1]  # a step of a column, a row, a slice
    spacing = np.linalg.norm(columns, axis=0)
    places = (spacing, affine[:3, 3], (columns / spacing).ravel())
    grid = Geometry(array.shape[::-1], *(tuple(map(float, each)) for each in places))
    return Stored(array, grid, modality="SEG")
