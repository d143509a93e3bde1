"""Other layouts as sample sheets: BIDS datasets, and DICOM studies."""

import json
import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import write_dicom

from lumbarflow import DataError
from lumbarflow.data import dataset, listing, new_scans, volumes
from lumbarflow.files import write_csv


@pytest.fixture
def bids(tmp_path):
    """Two patients; derivatives named by entities, by a sidecar, and not at all."""
    root = tmp_path / "study"
    names = [
        "sub-007/ses-1/anat/sub-007_ses-1_acq-STIR_T2w.nii.gz",
        "sub-007/ses-1/anat/sub-007_ses-1_T1w.nii.gz",
        "sub-8/anat/sub-8_T2w.nii.gz",
        "sub-8/anat/sub-8_T1w.nii.gz",
        "sub-8/anat/sub-8_notes.nii.gz",
        "sub-8/func/sub-8_task-rest_bold.nii.gz",
        "derivatives/manual/sub-007/ses-1/anat/sub-007_ses-1_acq-STIR_desc-spine_dseg.nii.gz",
        "derivatives/manual/sub-8/anat/sub-8_space-T2w_label-spine_mask.nii.gz",
        "derivatives/manual/sub-8/anat/sub-8_desc-other_dseg.nii.gz",
        "derivatives/manual/sub-8/anat/sub-8_desc-preproc_T2w.nii.gz",
    ]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "study", "BIDSVersion": "1.10.0"}))
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-007\t63\tF\nsub-8\tn/a\tM\n")
    return root


def test_a_bids_dataset(bids, tmp_path):
    sidecar = bids / "derivatives/manual/sub-8/anat/sub-8_desc-other_dseg.json"
    sidecar.write_text(json.dumps({"Sources": ["bids::sub-8/anat/sub-8_T1w.nii.gz"]}))
    rows = listing.list_series(bids)
    found = {row["volume"]: row for row in rows}
    assert list(found) == ["sub-007_ses-1_T1w", "sub-007_ses-1_acq-STIR_T2w", "sub-8_T1w", "sub-8_T2w"]
    stir = found["sub-007_ses-1_acq-STIR_T2w"]
    assert (stir["patient"], stir["sequence"], stir["age"], stir["sex"]) == ("007", "T2w_STIR", "63", "F")
    masks = {name: row["mask"].rpartition("/")[2] for name, row in found.items()}
    assert masks == {
        "sub-007_ses-1_T1w": "",
        "sub-007_ses-1_acq-STIR_T2w": "sub-007_ses-1_acq-STIR_desc-spine_dseg.nii.gz",
        "sub-8_T1w": "sub-8_desc-other_dseg.nii.gz",
        "sub-8_T2w": "sub-8_space-T2w_label-spine_mask.nii.gz",
    }
    columns = listing.columns(rows)
    write_csv(tmp_path / "sheet.csv", [dict.fromkeys(columns, "") | row for row in rows], columns)
    read = dataset.read_sheet(tmp_path / "sheet.csv")
    assert read["sub-8_T2w"].patient == "8"
    assert read["sub-007_ses-1_T1w"].mask == ""


def test_bids_folders_that_are_links_and_labels_with_a_plus(bids, tmp_path):
    """Signs that no path of a result has become such as it may have."""
    store = tmp_path / "store"
    (store / "ses-2/anat").mkdir(parents=True)
    (store / "ses-2/anat/sub-9_ses-2_acq-T2+fs_T2w.nii.gz").touch()
    (bids / "sub-9").symlink_to(store)
    (bids / "sub-8/ses-2").symlink_to(store / "ses-2")
    (store / "ses-2/anat/sub-8_ses-2_T1w.nii.gz").touch()
    rows = {row["volume"]: (row["patient"], row["sequence"]) for row in listing.list_bids(bids)}
    assert rows["sub-9_ses-2_acq-T2-fs_T2w"] == ("9", "T2w_T2-fs")
    assert rows["sub-8_ses-2_T1w"] == ("8", "T1w")
    assert set(new_scans.find(bids)) == set(rows)


def test_a_mask_of_two_pictures_is_nobodys(bids):
    (bids / "sub-8/anat/sub-8_acq-STIR_T2w.nii.gz").touch()
    rows = {row["volume"]: row for row in listing.list_bids(bids)}
    assert rows["sub-8_T1w"]["mask"] == ""  # T1w and T2w have the same entities, and no sidecar tells
    assert rows["sub-8_acq-STIR_T2w"]["mask"] == ""  # has one more


def test_what_is_left_out_is_said_and_sidecars_count_more_than_names(bids, caplog):
    listing.list_bids(bids)
    assert "sub-8_notes.nii.gz: left out: BIDS knows no such name" in caplog.text
    assert "sub-8_desc-other_dseg.nii.gz: a mask of no picture, or of several" in caplog.text
    folder = bids / "derivatives/manual/sub-007/ses-1/anat"
    (folder / "sub-007_ses-1_acq-STIR_desc-spine_dseg.nii.gz").rename(folder / "sub-007_ses-1_label-spine_dseg.nii.gz")
    (bids / "sub-007/ses-1/anat/sub-007_ses-1_T1w.nii.gz").unlink()
    volume = "sub-007_ses-1_acq-STIR_T2w"
    assert {row["volume"]: row["mask"] for row in listing.list_bids(bids)}[volume] == ""  # no name of BIDS
    sidecar = folder / "sub-007_ses-1_label-spine_dseg.json"
    sidecar.write_text(json.dumps({"Sources": [f"bids::sub-007/ses-1/anat/{volume}.nii.gz"]}))
    assert {row["volume"]: row["mask"] for row in listing.list_bids(bids)}[volume].endswith("label-spine_dseg.nii.gz")
    # a tool that drops the picture's entities, where there is one picture alone
    sidecar.unlink()
    (folder / "sub-007_ses-1_label-spine_dseg.nii.gz").rename(folder / "sub-007_ses-1_space-orig_seg-spine_dseg.nii.gz")
    assert {row["volume"]: row["mask"] for row in listing.list_bids(bids)}[volume].endswith("seg-spine_dseg.nii.gz")


def test_dicom_studies(tmp_path):
    """Patients are numbered; localisers are left out; two series of one folder are told apart."""
    image = sitk.GetImageFromArray(np.arange(210, dtype=np.int16).reshape(6, 7, 5))
    for patient, study, series, number, text in (
        ("SECRET-1", "a", "1.2.3", 5, "t2 tse/sag"),
        ("SECRET-1", "a", "1.2.4", 6, "t1_sag"),
        ("SECRET-2", "b", "1.2.5", 5, "t2 tse/sag"),
        ("SECRET-2", "c", "1.2.6", 1, "scout"),
    ):
        for file in write_dicom(image, tmp_path / study, series=series):
            header = pydicom.dcmread(file)
            header.PatientID, header.SeriesNumber, header.SeriesDescription = patient, number, text
            header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if text == "scout" else "M"]
            header.save_as(file)
    rows = listing.list_series(tmp_path)
    assert [(row["volume"], row["patient"], row["sequence"], row["series"]) for row in rows] == [
        ("P001_5", "P001", "t2_tse_sag", "5"),
        ("P001_6", "P001", "t1_sag", "6"),
        ("P002_5", "P002", "t2_tse_sag", "5"),
    ]
    assert "SECRET" not in str(rows)


def test_a_series_that_cannot_be_told_by_its_number(tmp_path):
    """Its UID names it where a segmentation has its number; in two folders it would be two halves of a scan."""
    image = sitk.GetImageFromArray(np.ones((3, 7, 5), np.int16))
    write_dicom(image, tmp_path / "a", series="1.2.3")
    for file in write_dicom(image, tmp_path / "a", series="1.2.4"):
        header = pydicom.dcmread(file)
        header.SeriesNumber = 0
        header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        header.save_as(file)
    for file in (tmp_path / "a").glob("1.2.3-*"):
        header = pydicom.dcmread(file)
        header.SeriesNumber = 0
        header.save_as(file)
    (row,) = listing.list_series(tmp_path)
    assert row["series"] == "1.2.3"
    assert volumes.read(row["image"], series=row["series"]).array.size == image.GetNumberOfPixels()
    (tmp_path / "b").mkdir()
    file.rename(tmp_path / "b" / file.name)
    (tmp_path / "b/second.dcm").write_bytes((tmp_path / "b" / file.name).read_bytes())
    with pytest.raises(DataError, match=r"/[ab]: slices of a DICOM series of which others lie in .*/[ab]; put all"):
        listing.list_series(tmp_path)


def test_what_dicom_studies_leave_open_is_said(tmp_path, caplog):
    image = sitk.GetImageFromArray(np.ones((3, 7, 5), np.int16))
    for study in "ab":
        for file in write_dicom(image, tmp_path / study, series=f"1.2.{ord(study)}"):
            header = pydicom.dcmread(file)
            header.PatientID = ""
            header.save_as(file)
    header.SOPClassUID, header.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.9"
    del header.ImagePositionPatient
    header.save_as(tmp_path / "b/screenshot.dcm")
    header.SOPClassUID += ".2"
    header.PerFrameFunctionalGroupsSequence = [pydicom.Dataset()]
    header.save_as(tmp_path / "b/screenshots.dcm")
    assert caplog.text == ""
    (tmp_path / "masks").mkdir()
    for reader in "12":  # two masks of one series
        header.Modality, header.SeriesInstanceUID, header.SOPClassUID = "SEG", f"1.2.{reader}", "1.2"
        header.ReferencedSeriesSequence = [pydicom.Dataset()]
        header.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.97"
        header.save_as(tmp_path / f"masks/reader{reader}.dcm")
    rows = listing.list_series(tmp_path)
    assert [row["mask"] for row in rows] == ["", ""]
    assert {row["patient"] for row in rows} == {"P001"}
    assert caplog.text.count("a screenshot (secondary capture) without a place") == 2
    assert "series without a PatientID: 2, listed as one patient, P001" in caplog.text
    assert re.search(r"P001_\d: has several masks \(.*reader1.dcm, .*reader2.dcm\)", caplog.text)


def test_dicom_without_uids_is_told_apart_by_folder_and_patient(tmp_path):
    image = sitk.GetImageFromArray(np.ones((3, 7, 5), np.int16))
    for folder in "ab":
        for file in write_dicom(image, tmp_path / folder):
            header = pydicom.dcmread(file)
            header.SeriesInstanceUID, header.StudyInstanceUID = "", "1.2"
            header.PatientID, header.SeriesNumber = f"SECRET-{folder}", 5
            header.save_as(file)
    rows = listing.list_series(tmp_path)
    assert [(row["volume"], row["image"]) for row in rows] == [
        ("P001_5", str(tmp_path / "a")),
        ("P002_5", str(tmp_path / "b")),
    ]


def test_one_file_stops_no_list(tmp_path, caplog):
    """An X-ray by itself is no scan; a scan with a damaged slice is listed, and refused when it is read."""
    image = sitk.GetImageFromArray(np.ones((3, 7, 5), np.int16))
    for folder in "abc":
        *_, last = write_dicom(image, tmp_path / folder, series=f"1.2.{ord(folder)}")
    xray = pydicom.dcmread(last)
    for key in ("ImagePositionPatient", "ImageOrientationPatient"):
        delattr(xray, key)
    xray.SeriesInstanceUID = "1.2.98"
    xray.save_as(tmp_path / "b/slice.dcm")
    xray.SeriesInstanceUID = "1.2.9"
    (tmp_path / "xray").mkdir()
    xray.save_as(tmp_path / "xray/1.dcm")
    last.write_bytes(last.read_bytes()[:142])
    assert [row["image"][-1] for row in listing.list_series(tmp_path)] == list("abc")
    assert re.search(r"left out: \S+xray/1\.dcm: its DICOM header does not say where each slice lies", caplog.text)
    for folder, fault in (("b", "does not say where each slice lies"), ("c", "cannot be read")):
        with pytest.raises(DataError, match=f"its DICOM header {fault}"):
            volumes.read(tmp_path / folder)


def test_a_folder_of_neither_kind(tmp_path):
    with pytest.raises(DataError, match=r"holds no series; expected a BIDS dataset"):
        listing.list_series(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        listing.list_series(tmp_path / "absent")
