"""Write labels as a DICOM segmentation of the series that they were found in."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ..files import replacing, sha256
from . import dicom
from .labels import called, class_of

ONE = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")  # what all slices must share
# what may tell who the patient is: all of the patient's group, and all that is copied from the source but codes,
# numbers, UIDs and dates of the study, by which archives sort
PATIENT = 0x0010
KEPT = ("CS", "DA", "IS", "TM", "UI", "US")
OURS = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "SeriesDescription")
EMPTY = (  # must be there
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("ReferringPhysicianName", "PositionReferenceIndicator"),
)
# what tells a date and a time, the first that does; without one, a day and an hour on which nobody was scanned
TOLD_BY = ("Study", "Series", "Acquisition", "Content")
UNTOLD = {"Date": "19000101", "Time": "000000"}
COMMIT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")  # 40 digits, of which 12 are enough
LONGEST = 64  # letters of a version, by DICOM


@dicom.quiet()
def write(
    path: str | Path,
    labels: NDArray[np.uint8],
    image: str | Path,
    series: str,
    names: Mapping[int, str],
    software: str,
    anonymous: bool = False,
) -> bool:
    """Write labels as a DICOM-SEG (a label map); returns whether it was done.

    labels: [slices, rows, columns] SPIDER's, 1 to 225; image: folder or file of the DICOM series `series` that
    they are of; names: {label: what it is}, of some or all; anonymous: leave out who the patient is. The same labels
    give the same bytes: UIDs are made of the content, dates are the study's. It is not done, and the log says why, for
    slices of several series, which no segmentation can refer to, for no labels, and for headers that highdicom refuses.
    """
    frames = dicom.ordered(image, series)
    sources = [pydicom.dcmread(file, force=True) for file in dict.fromkeys(frame.file for frame in frames)]
    if len({tuple(source.get(key) for key in ONE) for source in sources}) > 1 or not labels.any():
        logging.getLogger(__name__).info("%s: no DICOM segmentation: no labels, or slices of several series", image)
        return False
    step = _step(frames)
    for source in sources:
        for date in ("StudyDate", "StudyTime"):  # some programs take them out, where DICOM has them empty
            source.setdefault(date, "")
        if "PerFrameFunctionalGroupsSequence" not in source and not source.get("SliceThickness"):
            source.SliceThickness = f"{step:.10g}"  # some scanners leave it out; highdicom needs it
    if len(sources) == 1:  # frames of one file, in the order in which it holds them
        labels = labels[np.argsort([frame.number for frame in frames])]
    content = sha256(labels.tobytes() + str([sources[0].SeriesInstanceUID, sorted(names.items()), software]).encode())
    written = io.BytesIO()
    try:
        made = _make(sources, labels, names, software, content)
        _settle(made, sources[0], step, content, anonymous)
        made.save_as(written)
    except dicom.FAULTS as error:
        # the text of an error may quote a birth date
        name = error.name if isinstance(error, AttributeError) else None
        lacking = name if name and pydicom.datadict.tag_for_keyword(name) else None
        what = f"they lack {lacking}" if lacking else "they hold a date, a name or a number that DICOM forbids"
        logging.getLogger(__name__).warning(
            "%s: no DICOM segmentation: its headers are refused (%s: %s); repair them, or use structures.nii.gz",
            *(image, type(error).__name__, what),
        )
        return False
    with replacing(path) as temporary:
        temporary.write_bytes(written.getvalue())
    return True


def _make(
    sources: Sequence[Any], labels: NDArray[np.uint8], names: Mapping[int, str], software: str, content: str
) -> Any:
    """A highdicom segmentation of these labels. Arguments as in `write`; content: what UIDs are made of."""
    import highdicom  # seconds; only where it is needed

    code, version = highdicom.sr.CodedConcept, COMMIT.sub(r"\1", software)[:LONGEST]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        "lumbarflow", code("123110", "DCM", "Artificial Intelligence"), version
    )
    kinds = {number: code(*_kind(number)) for number in np.unique(labels[labels > 0]).tolist()}
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=names.get(number) or called(number).capitalize(),
            segmented_property_category=code("91723000", "SCT", "Anatomical Structure"),
            segmented_property_type=kind,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, kind in kinds.items()
    ]
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type=highdicom.seg.SegmentationTypeValues.LABELMAP,
        segment_descriptions=described,
        series_instance_uid=_uid(content, "series"),
        series_number=9000,
        sop_instance_uid=_uid(content, "instance"),
        instance_number=1,
        manufacturer="lumbarflow",
        manufacturer_model_name="lumbarflow",
        software_versions=version,
        device_serial_number="none",
        series_description="Lumbar structures",
    )


def _settle(made: Any, source: Any, step: float, content: str, anonymous: bool) -> None:
    """Set what highdicom takes from the clock, from chance, or from a header that may lie."""
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = f"{step:.10g}"
    for part, untold in UNTOLD.items():
        told = next((value for kind in TOLD_BY if (value := source.get(f"{kind}{part}"))), None)
        setattr(made, f"Content{part}", told or untold)  # must be there
        for kind in ("Series", "InstanceCreation"):
            made.pop(f"{kind}{part}", None)
            if told:
                setattr(made, f"{kind}{part}", told)
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = _uid(content, "dimensions")
    for item in made.get("ContributingEquipmentSequence", ()):
        item.pop("ContributionDateTime", None)
    if anonymous:
        _anonymise(made, source)


def _anonymise(made: Any, source: Any) -> None:
    """Take out what may tell who the patient is."""
    made.pop("ContributingEquipmentSequence", None)  # hospital, address, station
    for element in list(made):
        copied = element.tag in source and element.value == source[element.tag].value
        needed = element.VR in KEPT or element.keyword in (*OURS, "LossyImageCompressionRatio")
        if element.tag.group == PATIENT or (copied and not needed):
            del made[element.tag]
    for name in EMPTY:
        setattr(made, name, "")


def _step(frames: Sequence[dicom.Frame]) -> float:
    """Millimetres from slice to slice; of a single one as it says, or 1."""
    ends = np.subtract(frames[-1].position, frames[0].position)
    return float(np.linalg.norm(ends)) / (len(frames) - 1) if len(frames) > 1 else frames[0].thickness or 1.0


def _uid(content: str, what: str) -> str:
    """A UID (2.25, a UUID as a number) that depends on the content alone."""
    return f"2.25.{int(sha256(f'{content} {what}'.encode())[:32], 16)}"


def _kind(number: int) -> tuple[str, str, str]:
    """SNOMED CT's code of a label."""
    return {
        "vertebrae": ("51282000", "SCT", "Vertebra"),
        "spinal_canal": ("61853006", "SCT", "Vertebral canal"),
        "ivd": ("360499006", "SCT", "Intervertebral disc"),
    }[class_of(number)]
