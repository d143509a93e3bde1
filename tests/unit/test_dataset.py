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
        (lambda f: (f / "masks/2_t1.mha").unlink(), r"images/2_t1\.mha: has no counterpart in .*masks"),
        (lambda f: (f / "images/2_t1.mha").unlink(), r"masks/2_t1\.mha: has no counterpart in .*images"),
        (lambda f: (f / "images/2_t3.mha").touch(), r"2_t3\.mha: '2_t3' is not a volume name"),
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
        (["a,1,T1,x,y,"], "line 2: sequence is 'T1'; expected t1 or t2 or t2_SPACE"),
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
        ("volume,patient,sequence,image,msk\n", "unknown column 'msk'; did you mean 'mask'"),
        ("volume,patient,sequence,image\n", "has no column 'mask'"),
        ("volume;patient;sequence;image;mask\n", "unknown column 'volume;patient"),
    ],
)
def test_a_sheet_with_other_columns_is_refused(sheet, header, message):
    with pytest.raises(DataError, match=message):
        dataset.read_sheet(sheet("a,1,t1,x", header=header))


def test_no_sheet(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such sample sheet"):
        dataset.read_sheet(tmp_path / "nowhere.csv")


def test_duplicates():
    assert dataset.duplicates({"a": 1, "b": 2, "c": 1, "d": 3}) == [["a", "c"]]
