import os
import time

import pytest

from lumbarflow import DataError
from lumbarflow.data import dataset
from lumbarflow.data.dataset import Source


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for name in ("10_t1.mha", "2_t2_SPACE.mha", "2_t1.mha"):
            (tmp_path / kind / name).touch()
    return tmp_path


def test_finds_volumes_in_natural_order(folder):
    (folder / "images/.DS_Store").touch()
    (folder / "masks/Thumbs.db").touch()
    found = dataset.find_volumes(folder)
    assert list(found) == ["2_t1", "2_t2_SPACE", "10_t1"]
    assert found["2_t1"] == Source("2", "t1", str(folder / "images/2_t1.mha"), str(folder / "masks/2_t1.mha"))


def test_no_data_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"images: no such folder.*snakemake download"):
        dataset.find_volumes(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "images/2_t1.mha").unlink(), r"masks/2_t1\.mha: has no counterpart in .*images"),
        (lambda f: (f / "masks/2_t3.mha").touch(), r"masks/2_t3\.mha: has no counterpart in .*images"),
        (lambda f: (f / "images/2.mha").touch(), r"2\.mha: '2' is not a volume name; expected PATIENT_SEQUENCE"),
        (lambda f: (f / "images/2_all.mha").touch(), r"'2_all' is not a volume name.* which is not `all`"),
        (lambda f: [(f / kind / "3_T1.mha").touch() for kind in ("images", "masks")], r"'t1' .*'T1' .*only in case"),
        (
            lambda f: [(f / "images" / f"{p}_t1.mha").touch() for p in ("Ann", "ann")],
            r"patients 'Ann' .*'ann' .*use one",
        ),
        (lambda f: (f / "images/a b_t1.mha").touch(), r"'a b_t1' is not a volume name"),
        (lambda f: (f / "images/a,b_t1.mha").touch(), r"'a,b_t1' is not a volume name"),
        (lambda f: (f / "images/notes.txt").touch(), r"notes\.txt: expected a volume"),
        (lambda f: (f / "images/2_t1.nii.gz").touch(), r"also stored as"),
        (lambda f: [p.unlink() for p in f.glob("*/*")], r"holds no volumes"),
    ],
)
def test_a_faulty_folder_is_refused(folder, change, message):
    change(folder)
    with pytest.raises(DataError, match=message):
        dataset.find_volumes(folder)


def test_an_image_may_lack_its_mask(folder):
    (folder / "masks/2_t1.mha").unlink()
    found = dataset.find_volumes(folder)
    assert found["2_t1"].mask == ""
    assert dataset.parts(found["2_t1"].mask) == []


def test_a_bids_folder_is_to_be_listed_first(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}")
    with pytest.raises(DataError, match=r"is a BIDS dataset; .*`snakemake sheet --config root="):
        dataset.find_volumes(tmp_path)


def test_a_folder_of_slices_and_a_header_with_its_voxels(folder):
    for kind in ("images", "masks"):
        for name in ("2_t1.mha", "10_t1.mha"):
            (folder / kind / name).unlink()
        (folder / kind / "2_t1").mkdir()
        for name in ("b.dcm", "a.dcm", ".DS_Store"):
            (folder / kind / "2_t1" / name).touch()
        (folder / kind / "10_t1.mhd").touch()
        (folder / kind / "10_t1.raw").touch()
    found = dataset.find_volumes(folder)
    assert list(found) == ["2_t1", "2_t2_SPACE", "10_t1"]
    assert dataset.parts(found["2_t1"].image) == [str(folder / f"images/2_t1/{n}.dcm") for n in "ab"]
    assert dataset.parts(found["10_t1"].mask) == [str(folder / f"masks/10_t1.{e}") for e in ("mhd", "raw")]
    assert dataset.parts(found["2_t2_SPACE"].mask) == [found["2_t2_SPACE"].mask]


HEADER = "volume,patient,sequence,image,mask,subset\n"


@pytest.fixture
def sheet(folder):
    path = folder / "samples.csv"

    def write(*lines, header=HEADER):
        path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8-sig")
        return path

    return write


def test_a_sheet_names_volumes_freely(sheet, folder):
    first = "anna-t2,anna,t2, images/2_t1.mha ,masks/2_t1.mha,training"
    found = dataset.read_sheet(sheet(first, f"b,1.2.840,t1,{folder}/images/10_t1.mha,masks/10_t1.mha,validation"))
    assert found["anna-t2"] == Source(
        "anna", "t2", str(folder / "images/2_t1.mha"), str(folder / "masks/2_t1.mha"), "training"
    )
    assert found["b"].patient == "1.2.840"
    without = dataset.read_sheet(sheet("a,1,t1,images/2_t1.mha,masks/2_t1.mha", header=HEADER.replace(",subset", "")))
    assert without["a"].subset == ""


def test_a_sheet_with_series_and_without_masks(sheet, folder):
    """Two series of one DICOM folder are told apart; an image may lack its mask."""
    header = "volume,patient,sequence,image,mask,series\n"
    (folder / "images/study").mkdir()
    found = dataset.read_sheet(sheet("a,1,t1,images/study,,5", "b,1,t2,images/study,masks/2_t1.mha,6", header=header))
    assert [(each.mask != "", each.series) for each in found.values()] == [(False, "5"), (True, "6")]
    with pytest.raises(DataError, match=r"line 3: image .*study, series 5 is listed before, in line 2"):
        dataset.read_sheet(sheet("a,1,t1,images/study,,5", "b,1,t2,images/study,,5", header=header))


GOOD = "a,1,t1,images/2_t1.mha,masks/2_t1.mha,"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "lists no volumes"),
        ([GOOD, "a,2,t1,images/10_t1.mha,masks/10_t1.mha,"], "line 3: volume a is listed twice, first in line 2"),
        ([GOOD, "b,2,t1,images/2_t1.mha,masks/10_t1.mha,"], "line 3: image .*2_t1.mha is listed before, in line 2"),
        (["a b,1,t1,x,y,"], "line 2: 'a b' is no name for a volume; use letters"),
        (["../a,1,t1,x,y,"], r"line 2: '\.\./a' is no name for a volume"),
        (['"a,b",1,t1,x,y,'], "line 2: 'a,b' is no name for a volume"),
        (["a/b,1,t1,x,y,"], "line 2: 'a/b' is no name for a volume"),
        (["=a,1,t1,x,y,"], "line 2: '=a' is no name for a volume"),
        (["a,$(rm),t1,x,y,"], r"line 2: '\$\(rm\)' is no name for a patient"),
        (["a,,t1,x,y,"], "line 2: '' is no name for a patient"),
        (["a,1,t 1,x,y,"], "line 2: sequence is 't 1'; expected a name of letters"),
        (["a,1,all,x,y,"], "line 2: sequence is 'all'; expected a name .*, not `all`"),
        ([GOOD, "b,2,T1,images/10_t1.mha,masks/10_t1.mha,"], r"'t1' \(volume a\) and 'T1' \(volume b\) differ only"),
        (
            [GOOD, "A,2,t1,images/10_t1.mha,masks/10_t1.mha,"],
            r"the volumes 'a' .* and 'A' .* differ only in case; use one name",
        ),
        ([GOOD, "b,2,t2,images/10_t1.mha,masks/2_t1.mha,"], "line 3: .*masks/2_t1.mha is listed before, in line 2"),
        (["a,1,t1,images/2_t1.mha,masks/2_t1.mha,test"], "subset is 'test'; expected training or validation"),
        (["a,1,t1,images/3_t1.mha,masks/2_t1.mha,"], "line 2: image .*images/3_t1.mha: no such file"),
        (["a,1,t1,../images/2_t1.mha,masks/2_t1.mha,"], r"line 2: image is '\.\./images.*expected a path below"),
        (["a,1,t1,,masks/2_t1.mha,"], "line 2: image is ''; expected a path"),
        (["a,1,t1,samples.csv,masks/2_t1.mha,"], r"samples.csv: expected a volume \(.mha"),
        (["a,1,t1"], "line 2: has fewer cells than columns"),
        ([GOOD + "training", "b,1,t2,images/10_t1.mha,masks/10_t1.mha,validation"], "patient 1 stands in two subsets"),
    ],
)
def test_a_faulty_sheet_is_refused(sheet, lines, message):
    with pytest.raises(DataError, match=message):
        dataset.read_sheet(sheet(*lines))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("volume,patient,sequence,image,msk\n", "has no column 'mask'; is it 'msk'?"),
        ("volume,patient,sequence,image\n", "has no column 'mask'"),
        ("volume,patient,sequence,image,mask,subst\n", "unknown column 'subst'; did you mean 'subset'?"),
        ("volume,patient,sequence,image,mask,mask\n", "has the column 'mask' twice"),
    ],
)
def test_a_sheet_with_other_columns_is_refused(sheet, header, message):
    with pytest.raises(DataError, match=message):
        dataset.read_sheet(sheet("a,1,t1,x,y", header=header))


def test_a_sheet_as_a_spreadsheet_writes_it(folder):
    """Semicolons, a byte-order mark, Windows' line ends, empty columns at the end, a column of the user's own."""
    path = folder / "samples.csv"
    lines = ["volume;patient;sequence;image;mask;age;;", "a;007;STIR;images/2_t1.mha;masks/2_t1.mha;63;;"]
    lines += [";;;;;;;", "b;NA;t2-dixon_W;images/10_t1.mha;masks/10_t1.mha;;;"]
    path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    found = dataset.read_sheet(path)
    assert [(name, each.patient, each.sequence) for name, each in found.items()] == [
        ("a", "007", "STIR"),
        ("b", "NA", "t2-dixon_W"),
    ]


def test_series_of_one_patient_may_share_a_mask(sheet):
    found = dataset.read_sheet(sheet(GOOD, "b,1,t2,images/10_t1.mha,masks/2_t1.mha,"))
    assert found["a"].mask == found["b"].mask


def test_other_sequences_and_what_other_programs_leave(folder):
    for kind in ("images", "masks"):
        (folder / kind / "sub-01_STIR.NII.GZ").touch()
        (folder / kind / "sub-01_STIR.json").touch()
        (folder / kind / "@eaDir").mkdir()
    found = dataset.find_volumes(folder)
    assert found["sub-01_STIR"].sequence == "STIR"
    assert found["sub-01_STIR"].patient == "sub-01"
    assert len(found) == 4


def test_no_sheet(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such sample sheet"):
        dataset.read_sheet(tmp_path / "nowhere.csv")


def test_links_names_and_times_that_would_mislead(folder):
    (folder / "images/3_t1.mha").symlink_to("elsewhere.mha")
    with pytest.raises(DataError, match=r"3_t1\.mha: is a link to elsewhere\.mha, which is not there"):
        dataset.find_volumes(folder)
    (folder / "images/3_t1.mha").unlink()
    braced = folder / "a{b}c"
    for kind in ("images", "masks"):
        (braced / kind).mkdir(parents=True)
        (braced / kind / "1_t1.mha").touch()
    with pytest.raises(DataError, match=r"a\{b\}c/images/1_t1\.mha: holds \{ or \}, which mean something else"):
        dataset.find_volumes(braced)
    found = dataset.find_volumes(folder)
    paths = [found["2_t1"].image, found["2_t1"].mask, ""]
    dataset.check_times(paths)
    os.utime(found["2_t1"].mask, (time.time() + 7200,) * 2)
    with pytest.raises(DataError, match=r"masks/2_t1\.mha: its time lies 120 minutes in the future"):
        dataset.check_times(paths)


def test_duplicates():
    assert dataset.duplicates({"a": 1, "b": 2, "c": 1, "d": 3}) == [["a", "c"]]
