import pytest

from lumbarflow import DataError, dataset
from lumbarflow.dataset import Source


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
        (lambda f: (f / "images/notes.txt").touch(), r"notes\.txt: expected a volume"),
        (lambda f: (f / "images/2_t1.nii.gz").touch(), r"also stored as"),
        (lambda f: [p.unlink() for p in f.glob("*/*")], r"holds no volumes"),
    ],
)
def test_a_faulty_folder_is_refused(folder, change, message):
    change(folder)
    with pytest.raises(DataError, match=message):
        dataset.find_volumes(folder)
