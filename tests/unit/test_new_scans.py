"""New scans are found wherever they lie; two of one name, and nothing at all, are told."""

import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import write_dicom

from lumbarflow import DataError
from lumbarflow.data import dataset, volumes
from lumbarflow.data.new_scans import Scan, find, spacing_of


@pytest.fixture
def image():
    return sitk.GetImageFromArray(np.arange(3 * 5 * 4, dtype=np.int16).reshape(3, 5, 4))


def test_a_file_and_a_folder_of_any_names(image, tmp_path):
    deep = tmp_path / "visit 2"
    deep.mkdir()
    for path in (
        tmp_path / "10_t2.mha",
        tmp_path / "9_t2_SPACE.nii.gz",
        deep / "lumbar spine (T1).nii",
        tmp_path / "x.mhd",
    ):
        sitk.WriteImage(image, str(path))
    for name in ("notes.txt", ".hidden.mha", "Thumbs.db", "9_t2_SPACE.json", "sheet.csv"):
        (tmp_path / name).write_bytes(b"")
    assert find(tmp_path / "10_t2.mha") == {"10_t2": Scan(str(tmp_path / "10_t2.mha"), sequence="t2")}
    found = find(tmp_path)
    assert list(found) == ["9_t2_SPACE", "10_t2", "visit-2-lumbar-spine-T1", "x"]
    assert found["9_t2_SPACE"].sequence == "t2_SPACE"
    assert found["x"] == Scan(str(tmp_path / "x.mhd"))


def test_a_name_tells_a_sequence_that_is_known(image, tmp_path):
    for name in ("case_0001_0000", "lumbar_STIR", "7_t1"):
        sitk.WriteImage(image, str(tmp_path / f"{name}.mha"))
    assert [scan.sequence for scan in find(tmp_path).values()] == ["t1", "", ""]
    assert [scan.sequence for scan in find(tmp_path, (), ["STIR"]).values()] == ["t1", "", "STIR"]


def test_pictures_need_a_spacing(image, tmp_path):
    sitk.WriteImage(sitk.Cast(image[:, :, 0], sitk.sitkUInt8), str(tmp_path / "anna.png"))
    assert spacing_of("4, 0.6 0.6", "here") == (4, 0.6, 0.6)
    assert find(tmp_path, (4, 0.6, 0.6)) == {"anna": Scan(str(tmp_path / "anna.png"), spacing=(4, 0.6, 0.6))}
    sitk.WriteImage(image, str(tmp_path / "b.mha"))
    assert list(find(tmp_path)) == ["b"]
    assert find(tmp_path, (4, 0.6, 0.6))["b"].spacing == ()
    with pytest.raises(DataError, match=r"anna\.png: a picture does not say"):
        find(tmp_path / "anna.png")
    sheet = tmp_path / "scans.csv"
    sheet.write_text("volume,image,spacing\nanna,anna.png,4 0.5 0.5\nbert,b.mha,\n")
    assert [scan.spacing for scan in find(sheet).values()] == [(4, 0.5, 0.5), ()]
    for line, words in (
        ("anna,anna.png,", "does not say how large"),
        ("bert,b.mha,4 1 1", "says its own"),
        ("anna,anna.png,1 1", "'1 1'; expected mm"),
        ("anna,anna.png,1 0 1", "expected mm"),
        ("anna,anna.png,1 x 1", "expected mm"),
    ):
        sheet.write_text(f"volume,image,spacing\n{line}\n")
        with pytest.raises(DataError, match=words):
            find(sheet)


def test_a_dataset_s_masks_are_no_scans(image, tmp_path):
    for kind, uid in (("images", "1.2.1"), ("masks", "1.2.2")):
        (tmp_path / kind).mkdir()
        sitk.WriteImage(image, str(tmp_path / kind / "1_t2.mha"))
        write_dicom(image, tmp_path / kind / "2_t2", series=uid)
    assert [scan.image for scan in find(tmp_path).values()] == [
        str(tmp_path / "images/2_t2"),
        str(tmp_path / "images/1_t2.mha"),
    ]


def test_formats_that_are_not_read_are_said(image, tmp_path, caplog):
    for name in ("a.nii.gz", "b.nrrd", "c.hdr"):  # the last with its c.img
        sitk.WriteImage(image, str(tmp_path / name))
    assert list(find(tmp_path)) == ["a"]
    assert f"left out: 2 volumes of formats that are not read, such as {tmp_path / 'b.nrrd'}" in caplog.text


def test_dicom_studies(image, tmp_path):
    for number in "12":
        write_dicom(image, tmp_path / f"study{number}", series=f"1.2.{number}")
    sitk.WriteImage(image, str(tmp_path / "other.nii.gz"))
    found = find(tmp_path)
    assert len(found) == 3
    assert found["other"] == Scan(str(tmp_path / "other.nii.gz"))
    assert {scan.image for scan in found.values()} >= {str(tmp_path / "study1"), str(tmp_path / "study2")}
    (one,) = find(tmp_path / "study1").values()
    assert one.image == str(tmp_path / "study1")


@pytest.mark.parametrize(("file", "name"), [("IM0001", "IM0001"), ("a.ima", "a-ima"), ("1.2.840.5", "1-2-840-5")])
def test_a_dicom_file_of_any_name(image, tmp_path, file, name):
    (written,) = write_dicom(image[:, :, :1], tmp_path / "study")
    header = pydicom.dcmread(written)
    header.SliceThickness = 4
    header.save_as(written)
    path = written.rename(tmp_path / "study" / file)
    assert find(path) == {name: Scan(str(path))}
    read = volumes.read(path)
    assert (read.array.size, read.modality) == (20, "MR")
    # a lone slice is the scan of its folder, but not beside others
    ((found, scan),) = find(tmp_path).items()
    assert (found, scan.image) == ("P001_1", str(tmp_path / "study"))
    np.testing.assert_array_equal(volumes.read(scan.image, series=scan.series).array, read.array)
    sitk.WriteImage(image, str(tmp_path / "b.mha"))
    assert list(find(tmp_path)) == ["b"]
    (tmp_path / "b.mha").unlink()
    write_dicom(image[:, :, :1], tmp_path / "more", series="1.2.9")
    with pytest.raises(DataError, match="holds no scans"):
        find(tmp_path)
    path.write_bytes(b"no DICOM")
    with pytest.raises(DataError, match=f"{file}: expected a volume"):
        find(path)


def test_links_are_followed_and_own_results_are_no_scans(image, tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "elsewhere").mkdir()
    sitk.WriteImage(image, str(tmp_path / "elsewhere/2.mha"))
    (tmp_path / "scans/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "scans/b/again").symlink_to(tmp_path / "scans")  # round and round
    result = tmp_path / "scans/out/b-2"
    result.mkdir(parents=True)
    sitk.WriteImage(image, str(result / "structures.mha"))
    for name in ("segmentation.json", "preview.png"):
        (result / name).write_bytes(b"{}")
    (tmp_path / "scans/up").symlink_to(tmp_path)  # to what holds all this
    (tmp_path / "scans/a").symlink_to(tmp_path / "scans/z")
    (tmp_path / "scans/z").mkdir()
    sitk.WriteImage(image, str(tmp_path / "scans/z/1.mha"))
    assert list(find(tmp_path / "scans")) == ["b-2", "z-1"]


def test_a_series_below_another(image, tmp_path):
    write_dicom(image, tmp_path / "p1", series="1.2.1")
    write_dicom(image, tmp_path / "p1/t2", series="1.2.2")
    found = find(tmp_path)
    assert len(found) == 2
    assert {len(dataset.parts(scan.image)) for scan in found.values()} == {image.GetDepth()}


def test_a_sheet(image, tmp_path):
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    sheet = tmp_path / "scans.csv"
    sheet.write_text("volume,image,sequence,series\nanna,a.mha,t2,\nbert,a.mha,,3\n")
    path = str(tmp_path / "a.mha")
    assert find(sheet) == {"anna": Scan(path, "", "t2"), "bert": Scan(path, "3", "")}
    for text, words in (
        ("volume,image\nanna,a.mha\nanna,a.mha\n", "line 3: volume anna is listed twice"),
        ("volume,image\nanna,b.mha\n", "b.mha': no such file"),
        ("volume,image\nanna,\n", "line 2: image"),
        ("volume,image\na/b,a.mha\n", "'a/b'; use letters"),
        ("volume,image\n", "lists no scans"),
        ("volume,path\nanna,a.mha\n", "image"),
        ("volume,image\nanna,a.mha\nAnna,a.mha\n", "line 3: volume Anna is listed twice .capitals"),
        ('volume,image,note\nanna,a.mha,"moved\nbert,a.mha,\n', "is not sound CSV .in line 2 a quote begins that"),
    ):
        sheet.write_text(text)
        with pytest.raises(DataError, match=words):
            find(sheet)


def test_what_cannot_be_named(image, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such file or folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no scans"):
        find(tmp_path)
    sitk.WriteImage(image, str(tmp_path / "long.mha"))
    long = tmp_path.joinpath(*["x" * 100] * 3)
    long.mkdir(parents=True)
    (tmp_path / "long.mha").rename(long / "1.mha")
    (name,) = find(tmp_path)
    assert len(name) < 200
    assert name.startswith("x" * 100 + "-x")
    shutil.rmtree(long.parents[1])
    for name in ("Ab.mha", "aB.mha"):
        sitk.WriteImage(image, str(tmp_path / name))
    with pytest.raises(DataError, match="capitals do not count"):
        find(tmp_path)
    for name in ("a b.mha", "a(b).mha"):
        sitk.WriteImage(image, str(tmp_path / name))
    with pytest.raises(DataError, match=r"would be called 'a-b', as .*a b.mha is"):
        find(tmp_path)
    (tmp_path / "sub").mkdir()
    for name, words in (("{x}.mha", "rename it"), ("()).mha", "no letter or digit")):
        sitk.WriteImage(image, str(tmp_path / "sub" / name))
        with pytest.raises(DataError, match=words):
            find(tmp_path / "sub")
        (tmp_path / "sub" / name).unlink()
    (tmp_path / "sub" / "gone.mha").symlink_to(tmp_path / "not-there.mha")
    with pytest.raises(DataError, match="is a link to"):
        find(tmp_path / "sub")
