"""Label schemes: what labels mean is data; what no scheme says is refused with values and counts."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from lumbarflow import CLASSES, DataError
from lumbarflow.data import labels, masks, schemes


def test_spiders_own_is_what_the_library_takes_for_spiders():
    scheme = schemes.load("spider", "background")
    assert {kind: tuple(schemes.labels(scheme, kind)) for kind in CLASSES[1:]} == labels.LABELS
    assert schemes.load("spider") is None  # nothing to translate


@given(st.lists(st.sampled_from([0, *(label for known in labels.LABELS.values() for label in known)]), min_size=1))
def test_spiders_labels_stay(found):
    array = np.array(found)
    np.testing.assert_array_equal(masks.to_spider(array, schemes.load("spider", "background")), array)


def test_each_scheme_by_hand():
    """Sacrum is background, cord is canal, end plates are vertebra; structures are counted from the lowest up."""
    for name, given_labels, expected in (
        ("classes", [0, 1, 2, 3], [0, 5, 100, 201]),
        ("totalspineseg", [0, 50, 1, 2, 45, 44, 32, 100, 95, 82], [0, 0, 100, 100, 1, 2, 3, 201, 202, 203]),
        ("spineps", [0, 26, 41, 49, 62, 60, 61, 100], [0, 0, 5, 5, 5, 100, 100, 201]),
    ):
        array = np.array(given_labels, np.uint8).reshape(1, -1)
        translated = masks.to_spider(array, schemes.load(name))
        np.testing.assert_array_equal(translated, [expected])
        classes = [
            next(CLASSES.index(k) for k in CLASSES if x in schemes.labels(schemes.load(name), k)) for x in array[0]
        ]
        np.testing.assert_array_equal(labels.lut(translated), [classes])
        assert masks.tells_structures(schemes.load(name)) == (name == "totalspineseg")


OWN = "vertebrae: [2-4, 9]\nspinal_canal: 7\nivd: [11, 12]\nstructures: upwards\n"


def write(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_scheme_of_ones_own(tmp_path):
    scheme = schemes.load(write(tmp_path, OWN))
    assert (scheme["name"], scheme["background"], scheme["vertebrae"]) == ("mine", [[0, 0]], [[2, 4], [9, 9]])
    np.testing.assert_array_equal(masks.to_spider(np.array([9, 3, 7, 12, 0]), scheme), [2, 1, 100, 201, 0])
    assert schemes.lacking(schemes.load(write(tmp_path, "vertebrae: [1]\n"))) == ["spinal_canal", "ivd"]


def test_nnunets_dataset(tmp_path):
    names = {"background": 0, "Vertebrae": 1, "spinal-canal": 2, "discs": 3}
    scheme = schemes.load(write(tmp_path, json.dumps({"labels": names}), "dataset.json"))
    np.testing.assert_array_equal(masks.to_spider(np.arange(4), scheme), [0, 5, 100, 201])
    for wrong, message in (
        ({"labels": names | {"ignore": 4}}, r"its label `ignore` \(4\) marks voxels without truth"),
        ({"labels": names | {"sacrum": 4}}, "the label 'sacrum' is none of vertebrae"),
        ({"labels": {"disc": [1, 2.5]}}, r"ivd holds \[1, 2\.5\]; expected whole numbers"),
        ({}, "has no `labels`"),
        ([], "has no `labels`"),
    ):
        with pytest.raises(DataError, match=r"dataset\.json: " + message):
            schemes.load(write(tmp_path, json.dumps(wrong), "dataset.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no label scheme; expected keys background, vertebrae"),
        ("vertebra: [1]\n", "unknown key 'vertebra'; did you mean 'vertebrae'"),
        ("vertebrae: [1-3]\nivd: [3]\n", "the label 3 stands under vertebrae and under ivd"),
        ("vertebrae: [3-1]\n", "vertebrae holds '3-1'; expected whole numbers"),
        ("vertebrae: [-1]\n", "vertebrae holds -1"),
        ("vertebrae: [true]\n", "vertebrae holds True"),
        (
            "vertebrae: [1]\nstructures: sideways\n",
            "structures is 'sideways'; expected spider, upwards, downwards, none",
        ),
        ("background: [0]\n", "names no label of vertebrae, spinal_canal, ivd"),
        ("vertebrae: [1\n", "is no label scheme that can be read"),
    ],
)
def test_a_faulty_scheme_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=r"mine\.yaml: " + message):
        schemes.load(write(tmp_path, text))


def test_an_unknown_scheme_is_named():
    with pytest.raises(
        DataError, match=r"config\.scheme: there is no label scheme 'totalspine'; did you mean 'totalspin"
    ):
        schemes.load("totalspine")


def test_unknown_labels_are_listed_or_become_background(caplog):
    array = np.array([0, 1, 77, 77, -2, 70000])
    message = r"unknown labels -2 \(1 voxels\), 77 \(2 voxels\), 70000 \(1 voxels\); the label scheme 'classes' knows "
    with pytest.raises(DataError, match=message + r"background 0; vertebrae 1; spinal_canal 2; ivd 3; name another"):
        masks.to_spider(array, schemes.load("classes"))
    translated = masks.to_spider(array, schemes.load("classes", "background"))
    np.testing.assert_array_equal(translated, [0, 5, 0, 0, 0, 0])
    assert "unknown labels become background: -2 (1 voxels), 77 (2 voxels)" in caplog.text


def test_more_structures_than_spider_has_numbers_for(tmp_path):
    scheme = schemes.load(write(tmp_path, "vertebrae: [1-40]\nstructures: downwards\n"))
    with pytest.raises(DataError, match="the mask holds 26 vertebrae; expected at most 25"):
        masks.to_spider(np.arange(1, 27), scheme)


def test_labels_that_are_nearly_whole(tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "1_t2.mha"
    array = np.zeros((2, 3, 4), np.float32)
    array[0, 0] = [1, 100.0015, 201, 0.999]
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    found = masks.read(path).array
    assert np.issubdtype(found.dtype, np.integer)
    assert sorted(np.unique(found)) == [0, 1, 100, 201]
    assert "labels rounded, the farthest by 0.0015" in caplog.text
    array[1, 1] = [0.5, 0.5, 3.25, 7]
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    with pytest.raises(DataError, match=r"1_t2\.mha: .*not whole numbers: 0\.5 \(2 voxels\), 3\.25 \(1 voxels\)"):
        masks.read(path)


def test_a_network_that_never_found_a_class_scores_0(caplog):
    schemes.check_found([[0, 5], [0]], schemes.load("classes"), "predictions of nnunet", sure=True)
    assert "predictions of nnunet: hold no spinal_canal and no ivd at all, for which they score 0" in caplog.text


def test_a_dataset_without_a_class_of_its_scheme_stops():
    spider = [[0, 1, 100], [0, 2, 201]]
    schemes.check_found(spider, None, "sequence t1")
    message = (
        r"^sequence t1: no mask holds any spinal_canal or ivd under the label scheme spider; slices that show a class: "
    )
    message += r"vertebrae 2, spinal_canal 0, ivd 0; labels found: 0 1 2 3; "
    with pytest.raises(DataError, match=message + r"set config\.scheme to classes, which would fit$"):
        schemes.check_found([[0, 1, 3], [0, 2]], None, "sequence t1")
    with pytest.raises(DataError, match="write a scheme of your own"):  # SPIDER's structures, numbered without gaps
        schemes.check_found([range(20)], None, "sequence t1")
    with pytest.raises(DataError, match="no mask holds any ivd under the label scheme classes"):
        schemes.check_found([[0, 5, 100]], schemes.load("classes"), "sequence t1")
