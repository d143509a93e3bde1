"""A new scan from file to folder, by a network that knows the truth: labels lie where the scan does."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import write_dicom

from lumbarflow import DataError, files
from lumbarflow.application import cli, levels, segment, summary
from lumbarflow.data import dicom_seg, labels, phantom, volumes, writing
from lumbarflow.data.geometry import Geometry
from lumbarflow.data.new_scans import Scan
from lumbarflow.learning import device, scans

ENDS = {"slice": [2, 4], "row": [1, 2], "column": [1, 2]}
EXTENTS = {"slice": [30, 60], "row": [200, 300], "column": [180, 300]}
ABOUT = {
    "name": "sound-t2",
    "sequences": ["t2"],
    "scores": {"entropy": 0.4},
    "trained_on": {"spacing_mm": ENDS, "extent_mm": EXTENTS, "grey": {"mean": [40, 60], "spread": [30, 40]}},
}
MODEL = scans.Model(ABOUT, [None], "0" * 64)


@pytest.fixture
def truth(monkeypatch):
    """The phantom's volume, its labels and grid; whoever segments it finds its true classes."""
    image, labelled, grid = phantom.make_volume(3, 1, "t2_SPACE")

    def know(array, spacing, models):
        assert array.shape == image.shape
        return scans.Segmented(
            labels.lut(labelled), np.zeros(array.shape, np.float32), (0.0,), float("nan"), ((50.0, 35.0),)
        )

    monkeypatch.setattr(segment.scans, "segment", know)
    return image, labelled, grid


@pytest.mark.parametrize("name", ["scan.mha", "scan.nii.gz", "scan.mhd", "dicom"])
def test_labels_lie_where_the_scan_does(truth, tmp_path, name):
    image, labelled, grid = truth
    turned = Geometry(grid.size[::-1], grid.spacing[::-1], (5.0, -7.0, 9.0), (0, 0, 1, 1, 0, 0, 0, -1, 0))
    path = tmp_path / name
    if name == "dicom":
        writing.write(tmp_path / "first.mha", image, turned)
        write_dicom(sitk.ReadImage(str(tmp_path / "first.mha")), path)
    else:
        writing.write(tmp_path / "first.mha", image, grid if name == "scan.mha" else turned)
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "first.mha")), str(path))
    result = segment.segment(Scan(str(path)), [MODEL])
    folder = tmp_path / "out"
    folder.mkdir()
    segment.write(folder, "anna", Scan(str(path)), result, segment.Options("L5", True), "lumbarflow 1")
    ending = ".mha" if name.endswith((".mha", ".mhd")) else ".nii.gz"
    scan, found = volumes.read(path), volumes.read(folder / f"structures{ending}")
    found.geometry.check_same(scan.geometry, "structures")
    assert tuple(found.geometry.size) == tuple(scan.geometry.size)
    assert (found.array == labelled).mean() > 0.999
    np.testing.assert_array_equal(volumes.read(folder / f"classes{ending}").array, labels.lut(labelled))
    assert {each.name for each in folder.iterdir()} == {
        *(f"{kind}{ending}" for kind in ("structures", "classes", "entropy")),
        *("measurements.csv", "measurements.json", "preview.png", "segmentation.json"),
    }  # no DICOM-SEG of slices that share no study


def test_dicom_in_dicom_seg_out(truth, tmp_path, caplog, recwarn):
    image, _, grid = truth
    turned = Geometry(grid.size[::-1], grid.spacing[::-1], (5.0, -7.0, 9.0), (0, 0, 1, 1, 0, 0, 0, -1, 0))
    writing.write(tmp_path / "first.mha", image, turned)
    slices = write_dicom(sitk.ReadImage(str(tmp_path / "first.mha")), tmp_path / "scan")
    for file in slices:
        header = pydicom.dcmread(file)
        header.StudyInstanceUID, header.FrameOfReferenceUID = "1.2.3", "1.2.3.4"
        header.PatientName, header.PatientBirthDate, header.StudyDate, header.StudyTime = (
            "Doe",  # of one part, at which highdicom warns
            "19700101",
            "20200102",
            "",
        )
        header.AccessionNumber, header.OtherPatientNames, header.StudyID = "SECRET1", "SECRET2", "SECRET3"
        header.PatientComments, header.StudyDescription, header.ReferringPhysicianName = "SECRET4", "SECRET5", "SECRET6"
        header.ClinicalTrialSubjectID, header.InstitutionName = "SECRET7", "SECRET8"
        header.Manufacturer, header.StationName, header.SoftwareVersions = "SIEMENS", "SECRET9", "lumbarflow 1"
        header.LossyImageCompression, header.LossyImageCompressionRatio = "01", "10"
        header.LossyImageCompressionMethod = "ISO_10918_1"
        header.save_as(file)
    scan = Scan(str(tmp_path / "scan"))
    result = segment.segment(scan, [MODEL])
    for name, options in (
        ("one", segment.Options("L5")),
        ("two", segment.Options("L5")),
        ("three", segment.Options("L5", anonymous=True)),
    ):
        (tmp_path / name).mkdir()
        segment.write(tmp_path / name, "anna", scan, result, options, "lumbarflow 1")
    paths = [tmp_path / name / "structures.dcm" for name in ("one", "two", "three")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    np.testing.assert_array_equal(volumes.read(paths[0]).array, result.labels)
    volumes.read(paths[0]).geometry.check_same(result.volume.geometry, "structures.dcm")
    named, anonymous = pydicom.dcmread(paths[0]), pydicom.dcmread(paths[2])
    assert (named.PatientName, named.ContentDate) == ("Doe", "20200102")
    assert "SECRET" in str(named)
    assert not re.search("Doe|SECRET", str(anonymous))
    assert (anonymous.StudyDate, anonymous.LossyImageCompressionRatio) == ("20200102", 10)
    assert anonymous.SoftwareVersions == "lumbarflow 1"  # ours, though the scanner's is the same
    np.testing.assert_array_equal(volumes.read(paths[2]).array, result.labels)
    assert "19700101" not in str(anonymous)
    called = {each.SegmentNumber: each.SegmentLabel for each in named.SegmentSequence}
    assert (called[1], called[2]) == ("L5", "L4")
    # a header that highdicom refuses costs the DICOM segmentation alone
    header.add_new("PatientBirthDate", "DA", "19700101")
    header["PatientBirthDate"]._value = "1970"
    header.save_as(file)
    (tmp_path / "four").mkdir()
    segment.write(tmp_path / "four", "anna", scan, result, segment.Options(), "lumbarflow 1")
    assert "its headers are refused (ValueError: they hold a date, a name or a number" in caplog.text
    assert not re.search("Doe|1970|SECRET", caplog.text + "".join(str(each.message) for each in recwarn))
    assert (tmp_path / "four" / "structures.nii.gz").is_file()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ("19000101", "000000", None, None)),  # a segmentation must have both
        ({"StudyDate": "", "StudyTime": None}, ("19000101", "000000", None, None)),
        (
            {"StudyDate": "20200101", "AcquisitionDate": "20210101", "SeriesTime": "1011"},
            ("20200101", "1011", "20200101", "1011"),
        ),
        ({"StudyDate": "", "AcquisitionDate": "20200102"}, ("20200102", "000000", "20200102", None)),
    ],
)
def test_a_dicom_seg_holds_what_dicom_allows(tmp_path, monkeypatch, told, expected):
    image = sitk.GetImageFromArray(np.ones((3, 8, 9), np.int16))
    common = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.3.4", "PatientName": "Doe^J", "PatientID": "7"}
    common |= dict.fromkeys(("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"), "")
    for file in write_dicom(image, tmp_path / "scan"):
        header = pydicom.dcmread(file)
        for name in ("StudyDate", "StudyTime"):
            header.pop(name, None)
        for name, value in {**common, **told}.items():
            setattr(header, name, value)
        header.save_as(file)
    found = np.zeros((3, 8, 9), np.uint8)
    found[1, 2], found[1, 3], found[1, 4], found[1, 5] = 3, 203, 100, 1
    software = f"lumbarflow 0.1.0, commit {'0123456789' * 4}-dirty"
    for name in ("one.dcm", "two.dcm"):
        assert dicom_seg.write(tmp_path / name, found, tmp_path / "scan", "", {1: "L5"}, software)
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    made = pydicom.dcmread(tmp_path / "one.dcm")
    version = "lumbarflow 0.1.0, commit 012345678901-dirty"
    assert {each.value for each in made.iterall() if each.keyword == "AlgorithmVersion"} == {version}  # all are checked
    assert made.SoftwareVersions == version
    assert [each.SegmentLabel for each in made.SegmentSequence][1:] == ["L5", "Vertebra 3", "Spinal canal", "Disc 203"]
    names = ("ContentDate", "ContentTime", "SeriesDate", "InstanceCreationTime")
    assert tuple(made.get(name) for name in names) == expected


def test_measurements_and_report(truth, tmp_path):
    image, labelled, grid = truth
    writing.write(tmp_path / "1_t2.mha", image, grid)
    scan = Scan(str(tmp_path / "1_t2.mha"), sequence="t2")
    folders = [tmp_path / name for name in ("anna", "bert", "curt")]
    for folder in folders:
        folder.mkdir()
    result = segment.segment(scan, [MODEL])
    segment.write(folders[0], "anna", scan, result, segment.Options("L5"), "lumbarflow 1")
    segment.write(folders[1], "anna", scan, result, segment.Options("L5"), "lumbarflow 1")
    segment.write_failure(folders[2], "curt", "curt.mha: no <such> file", "lumbarflow 1")
    for name in ("measurements.csv", "measurements.json", "preview.png", "structures.mha"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    rows = list(csv.DictReader((folders[0] / "measurements.csv").open()))
    assert [row["name"] for row in rows][:4] == ["L5-S1", "L5", "L4-L5", "L4"]
    assert (
        json.loads((folders[0] / "measurements.json").read_text())["column"]["vertebrae"]
        == len(np.unique(labelled[labelled < 100])) - 1
    )
    report = files.read_json(folders[0] / "segmentation.json")
    assert report["models"] == [{"name": "sound-t2", "sha256": "0" * 64}]
    assert report["dice_between_networks"] is None
    assert str(tmp_path) not in json.dumps(report)
    table = summary.rows(folders)
    assert [row["failed"] for row in table] == ["", "", "curt.mha: no <such> file"]
    assert table[0]["discs"] == report["column"]["discs"]
    page = summary.gallery(table, folders)
    assert page.index("curt") < page.index("anna")  # failures first
    assert "no &lt;such&gt; file" in page
    assert page.count("data:image/png") == 2


def test_a_text_that_looks_like_a_formula_is_drawn_as_it_is(truth, tmp_path):
    image, _, grid = truth
    writing.write(tmp_path / "a.mha", image, grid)
    scan = Scan(str(tmp_path / "a.mha"), sequence="T2 $C_2$ / $C_$")
    result = segment.segment(scan, [MODEL])
    assert any("$C_$" in flag.reason for flag in result.flags)
    (tmp_path / "out").mkdir()
    segment.write(tmp_path / "out", "a", scan, result, segment.Options(), "lumbarflow 1")
    assert (tmp_path / "out/preview.png").is_file()


def test_what_is_no_sagittal_scan(truth, tmp_path):
    image, _, _ = truth
    array = np.ascontiguousarray(image.transpose(1, 0, 2))
    axial = Geometry((144, 16, 176), (1.5, 1.5, 4.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    flat = sitk.GetImageFromArray(array)
    flat.SetSpacing(axial.spacing)
    sitk.WriteImage(flat, str(tmp_path / "axial.mha"))
    with pytest.raises(DataError, match=r"axial.mha: its slices are axial .* expected sagittal"):
        segment.segment(Scan(str(tmp_path / "axial.mha")), [MODEL])


def test_what_is_no_mr(tmp_path):
    for file in write_dicom(sitk.GetImageFromArray(np.ones((3, 8, 9), np.int16)), tmp_path / "scan"):
        header = pydicom.dcmread(file)
        header.Modality = "CT"
        header.save_as(file)
    with pytest.raises(DataError, match="scan: its DICOM header says that it is CT; expected MR"):
        segment.segment(Scan(str(tmp_path / "scan")), [MODEL])


def test_models_are_needed():
    with pytest.raises(DataError, match="no model is named"):
        segment.load([])


@pytest.fixture
def command(truth, monkeypatch):
    """The command, by the phantom's truth."""
    monkeypatch.setattr(device, "choose", lambda *_: None)
    monkeypatch.setattr(segment, "load", lambda *_: [MODEL])
    return lambda *arguments: cli.main(["segment", *map(str, arguments), "--threads", "1"])


def test_a_scan_fails_alone(truth, command, tmp_path, monkeypatch, capsys):
    image, _, grid = truth
    for name in "abcdefg":
        writing.write(tmp_path / f"in/{name}.mha", image, grid)
    know, write = segment.segment, segment.write
    errors = {"a": OSError(5, "Input/output error", "a.mha"), "b": KeyError(3), "c": DataError("c: no picture")}
    errors["e"] = MemoryError()

    def fail(scan, models):
        error = errors.get(Path(scan.image).stem)
        if error:
            raise error
        return know(scan, models)

    def write_half(folder, name, *rest):
        write(folder, name, *rest)
        if name in "fg":
            raise ValueError("half done") if name == "f" else MemoryError()

    monkeypatch.setattr(segment, "segment", fail)
    monkeypatch.setattr(segment, "write", write_half)
    assert command(tmp_path / "in", "--out", tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert re.search(r"e: failed: \S*e\.mha: the machine has not enough memory for it\n", said)
    assert re.search(r"f: failed: \S*f\.mha: ValueError: half done; this is an error of the software", said)
    for name in "fg":
        assert [path.name for path in (tmp_path / "out" / name).iterdir()] == ["segmentation.json"]
    monkeypatch.setattr(segment, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left", "x")))
    assert command(tmp_path / "in/d.mha", "--out", tmp_path / "full") == 1
    assert "lumbarflow: x: No space left" in capsys.readouterr().err  # no scan's fault: the command ends
    assert not (tmp_path / "full/d").exists()
    assert re.search(r"a: failed: a\.mha: Input/output error\n", said)
    assert re.search(r"b: failed: \S*b\.mha: KeyError: 3; this is an error of the software, please report it\n", said)
    assert "c: failed: c: no picture\n" in said
    assert "7 scans, 6 failed" in said
    assert (tmp_path / "out/d/structures.mha").is_file()


def test_files_of_others_are_not_replaced(truth, command, tmp_path, capsys):
    image, _, grid = truth
    writing.write(tmp_path / "12_t2.mha", image, grid)
    (tmp_path / "12_t2").mkdir()
    (tmp_path / "12_t2/landmarks.mrk.json").write_bytes(b"x")
    assert command(tmp_path / "12_t2.mha", "--out", tmp_path) == 1
    assert "12_t2: would be replaced, but is no result of lumbarflow (it has no seg" in capsys.readouterr().err
    assert (tmp_path / "12_t2/landmarks.mrk.json").is_file()
    (tmp_path / "out").mkdir()
    for name in ("summary.csv", "gallery.html"):
        (tmp_path / "out" / name).write_text("mine\n")
        assert command(tmp_path / "12_t2.mha", "--out", tmp_path / "out") == 1
        assert f"{name}: would be replaced, but is not of lumbarflow" in capsys.readouterr().err
        (tmp_path / "out" / name).unlink()
    assert command(tmp_path / "12_t2.mha", "--out", tmp_path / "out") == 0
    for missing in ("gallery.html", "summary.csv"):  # its own results are replaced, or kept
        assert command(tmp_path / "12_t2.mha", "--out", tmp_path / "out") == 0
        (tmp_path / "out" / missing).unlink()


def test_a_result_that_lost_files_or_is_of_another_scan_is_made_again(truth, command, tmp_path, capsys):
    image, _, grid = truth
    scan, out = tmp_path / "12_t2.mha", tmp_path / "out"
    writing.write(scan, image, grid)

    def call():
        command(scan, "--out", out, "--viewer")
        return capsys.readouterr().out

    assert "12_t2: done\n" in call()
    held = sorted((out / "12_t2").iterdir())
    for lost in ("structures.mha", "preview.png", "view.html"):
        assert "12_t2: done before\n" in call()
        (out / "12_t2" / lost).unlink()
        said = call()
        assert "12_t2: done\n" in said
        assert "another file" not in said
        assert sorted((out / "12_t2").iterdir()) == held
    writing.write(scan, image + 1, grid)
    assert f"Scan 12_t2: the result in {out / '12_t2'} is of another file; it is replaced.\n" in call()
    (out / "12_t2/preview.png").unlink()  # of what the workflow takes for whole, all else is shown
    assert "preview.png is gone" in summary.gallery(summary.rows([out / "12_t2"]), [out / "12_t2"])


def test_names_of_levels():
    rows = [
        {"label": n, "structure": kind} for n, kind in ((201, "disc"), (1, "vertebra"), (202, "disc"), (2, "vertebra"))
    ]
    rows.append({"label": 100, "structure": "canal"})
    assert levels.names(rows, "") == {}
    assert levels.names(rows, "L5") == {201: "L5-S1", 1: "L5", 202: "L4-L5", 2: "L4"}
    assert levels.names(rows, "L6") == {201: "L6-S1", 1: "L6", 202: "L5-L6", 2: "L5"}
    assert levels.names(rows, "S1") == {201: "S1-S2", 1: "S1", 202: "L5-S1", 2: "L5"}
    assert levels.names(rows[1:], "L1") == {1: "L1", 202: "T12-L1", 2: "T12"}  # no disc below
    many = [{"label": n, "structure": "vertebra"} for n in range(1, 26)]
    assert levels.names(many, "C2") == {1: "C2", 2: "C1"}
    levels.check("L5")
    with pytest.raises(DataError, match="'l5' is no vertebra; expected one of S1, L6, L5"):
        levels.check("l5")
