import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lumbarflow import FOREGROUND
from lumbarflow.data import labels, survey, volumes
from lumbarflow.data.volumes import Geometry, Volume
from lumbarflow.report import audit

UNIT = {
    "size": (4, 4, 4),
    "spacing": (1.0, 1.0, 1.0),
    "origin": (0.0, 0.0, 0.0),
    "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1),
}


def volume(array, orientation="LPS"):
    geometry = Geometry(**UNIT).corrected(orientation)
    return Volume(np.asarray(array), (4.0, 0.5, 0.75), geometry)


def description(orientation="LPS", labels=(0, 1, 100, 201, 202)):
    mask = np.zeros((4, 4, 4), np.int16)
    mask.flat[: len(labels)] = labels
    return survey.describe(
        volume(np.arange(64, dtype=np.int16).reshape(4, 4, 4) - 9, orientation), volume(mask, orientation)
    )


@pytest.mark.parametrize(
    ("orientation", "axis", "turned"),
    # cut along the left-right axis, a stored plane has the later of the other two axes as its rows
    [("LPS", False, True), ("PIR", True, False), ("LPI", False, False), ("LIP", False, True), ("RAI", False, True)],
)
def test_the_papers_defects_three_and_four(orientation, axis, turned):
    row = description(orientation)
    assert (row["orientation"], row["defect_axis"], row["defect_turned"]) == (orientation, axis, turned)


@pytest.mark.parametrize(
    ("labels", "hidden", "values"),
    [((0, 1, 100, 201, 202), True, True), ((0, 1, 100, 201), True, False), ((0, 20, 100, 201), False, False)],
)
def test_the_papers_defects_one_and_two(labels, hidden, values):
    row = description(labels=labels)
    assert (row["defect_hidden"], row["defect_values"]) == (hidden, values)


def test_a_description_holds_what_is_stored():
    row = description()
    assert (row["minimum"], row["maximum"]) == (-9, 54)
    assert (row["slices"], row["height"], row["width"], row["row_mm"]) == (4, 4, 4, 0.5)
    assert row["labels"] == "0 1 100 201 202"
    assert description("PIR")["image_sha256"] == row["image_sha256"]  # of the canonical voxels


def anatomy():
    """Greys with a bright block, and its mask."""
    classes = np.zeros((9, 60, 50), np.uint8)
    classes[2:6, 20:32, 15:30], classes[2:6, 32:36, 15:30], classes[2:6, 20:36, 32:36] = 1, 3, 2
    greys = np.choose(classes, [30, 120, 200, 60]) + np.random.default_rng(1).normal(0, 20, classes.shape)
    return greys.astype(np.int16), classes


def test_a_mask_that_lies_elsewhere_is_said():
    greys, classes = anatomy()
    image = Volume(greys, (4.0, 1.0, 1.0), Geometry(**UNIT))
    assert survey.remarks(image, classes) == []
    for moved, where in (
        (np.roll(classes, 12, 1), "12 mm up"),
        (np.roll(classes, -6, 2), "6 mm to the back"),
        (classes[::-1], "mirrored left to right"),
    ):
        assert survey.remarks(image, moved) == [f"mask fits better {where}"]
    assert survey.remarks(image, np.zeros_like(classes)) == []
    assert survey.remarks(image, None) == []


def test_masks_of_real_patients(real_data):
    """At most one of thirty right ones is marked, and most of those exchanged between patients are."""
    marked = {"right": 0, "exchanged": 0}
    paths = sorted((real_data / "t2space/images").glob("*.mha"))[::3]
    pairs = [(volumes.read(path), volumes.read(path.parents[1] / "masks" / path.name)) for path in paths]
    for number, (image, _) in enumerate(pairs):
        for kind, step in (("right", 0), ("exchanged", 1)):
            mask = labels.lut(pairs[(number + step) % len(pairs)][1].array)
            classes = np.zeros(image.array.shape, np.uint8)
            both = tuple(slice(0, min(pair)) for pair in zip(classes.shape, mask.shape, strict=True))
            classes[both] = mask[both]
            marked[kind] += bool(survey.better_place(image.array, classes, image.spacing))
    assert marked["right"] <= 1
    assert marked["exchanged"] >= 9, marked


@pytest.mark.parametrize(
    ("spacing", "shape", "plane"),
    [
        ((4.0, 0.5, 0.5), (15, 60, 50), []),
        ((1.0, 0.94, 0.94), (25, 320, 256), []),
        ((0.5, 4.0, 0.5), (60, 15, 50), ["axial, not sagittal"]),
        ((0.5, 0.5, 4.0), (60, 50, 15), ["coronal, not sagittal"]),
        ((3.0, 3.0, 3.0), (117, 20, 91), ["axial, not sagittal"]),
        ((1.0, 1.0, 1.0), (38, 201, 257), []),
        ((0.9, 1.0, 1.0), (64, 256, 256), []),  # a flat stack of slices that are thinner than their pixels
        ((0.9, 0.9, 1.0), (80, 280, 256), []),
        ((0.5, 0.8, 0.8), (100, 320, 320), []),
        ((0.5, 1.0, 1.0), (200, 100, 100), ["axial, not sagittal"]),
    ],
)
def test_slices_that_are_not_sagittal_are_said(spacing, shape, plane):
    image = Volume(np.arange(np.prod(shape)).reshape(shape), spacing, Geometry(**UNIT))
    assert survey.remarks(image, None) == plane


def test_dicom_says_how_its_slices_lie_and_what_took_them():
    array, spacing = np.arange(60 * 90 * 90).reshape(60, 90, 90), (0.5, 1.4, 1.0)
    for modality, letters, said in (
        (None, "PIL", ["axial, not sagittal"]),  # the axes of other formats have any order
        ("", "LPS", ["axial, not sagittal"]),
        ("MR", "PIL", []),
        ("CT", "PIL", ["CT, not MR"]),
    ):
        image = Volume(array, spacing, Geometry(**UNIT).corrected(letters), modality)
        assert survey.remarks(image, None) == said


def test_a_nearly_constant_picture_is_said():
    array = np.full((9, 60, 50), 7)
    array[0, 0, :5] = 9
    assert survey.remarks(Volume(array, (4.0, 1.0, 1.0), Geometry(**UNIT)), None) == ["nearly constant"]


def test_the_dataset_table():
    rows = []
    for name, patient, sequence, orientation in (
        ("1_t1", "1", "t1", "LPS"),
        ("1_t2", "1", "t2", "LPS"),
        ("2_t1", "2", "t1", "PIR"),
    ):
        rows.append({"volume": name, "patient": patient, "sequence": sequence, "corrected": False, "remarks": ""})
        rows[-1] |= description(orientation)
    rows[2] |= {"image_sha256": "another", "remarks": "no mask; axial, not sagittal"}
    rows[2] |= dict.fromkeys(("values", "labels", "hidden", "defect_hidden", "defect_values"), np.nan)
    overview = pd.DataFrame(
        {
            "new_file_name": ["1_t1", "1_t2", "9_t1"],
            "sex": ["F ", "F", "M"],
            "Manufacturer": ["A"] * 3,
            "ManufacturerModelName": ["x"] * 3,
            "subset": ["training"] * 3,
        }
    )
    published = pd.DataFrame({"property": ["series"], "value": [447]})
    table = audit.dataset(pd.DataFrame(rows), overview, published).set_index("property")
    assert list(table.columns) == ["t1", "t2", "all", "paper"]
    assert table.loc["patients"].tolist()[:3] == [2, 1, 2]
    assert table.loc["series"].tolist() == [2, 1, 3, 447]
    assert table.loc["stored orientation", "all"] == "LPS (2), PIR (1)"
    assert table.loc[survey.DEFECTS["defect_axis"]].tolist()[:3] == ["1 of 2", "0 of 1", "1 of 3"]
    assert table.loc[survey.DEFECTS["defect_values"]].tolist()[:3] == ["1 of 1", "1 of 1", "2 of 2"]
    assert table.loc["series without a mask"].tolist()[:3] == [1, 0, 1]
    assert table.loc["series with other remarks"].tolist()[:3] == [1, 0, 1]
    assert table.loc[survey.DEFECTS["defect_turned"], "t1"] == "1 of 2"
    assert table.loc["sex, patients", "all"] == "F (1), unknown (1)"
    assert table.loc["scanner, series", "t1"] == "A x (1), unknown (1)"
    assert table.loc["intensities, series with negative ones", "all"] == "3, from -9"
    assert table.loc["series with another's picture", "all"] == "1_t1 = 1_t2"
    assert table.loc["series with another's picture", "t1"] == 0
    for nothing in (None, overview.rename(columns={"new_file_name": "patient"})):  # an overview by patients alone
        bare = audit.dataset(pd.DataFrame(rows), nothing, published)
        assert not bare["property"].str.startswith(("sex", "scanner", "official")).any()


def test_the_cost_of_a_repair_by_hand():
    exact = np.array([[1, 1, 2, 0]], np.uint8)
    frame = pd.DataFrame(
        [
            {"volume": "a", **survey.compare(exact, np.array([[1, 0, 0, 3]], np.uint8))},
            {"volume": "a", **survey.compare(exact, exact)},
        ]
    )
    table = audit.fidelity([({"slices": "s", "labels": "l"}, "t2", frame)]).set_index("class")
    assert table.loc["vertebrae", "Dice pooled"] == pytest.approx(2 * 3 / (4 + 3))
    assert table.loc["vertebrae", "lowest"] == pytest.approx(2 / 3)
    assert table.loc["spinal_canal", ["vanished", "appeared", "lowest"]].tolist() == [1, 0, 0]
    assert table.loc["ivd", ["vanished", "appeared", "slices with the class"]].tolist() == [0, 1, 0]
    assert table.loc["spinal_canal", "pixels lost, %"] == pytest.approx(50)
    assert table.loc["ivd", "pixels changed in the picture, %"] == pytest.approx(100 * 3 / 8)
    assert np.isnan(table.loc["ivd", "pixels lost, %"])  # there were none


@given(*[arrays(np.uint8, (5, 7), elements=st.integers(0, 3))] * 2)
def test_counts_of_a_comparison_add_up(exact, repaired):
    row = survey.compare(exact, repaired)
    for k, name in enumerate(FOREGROUND, 1):
        assert row[f"both_{name}"] <= min(row[f"exact_{name}"], row[f"repaired_{name}"])
        assert row[f"exact_{name}"] == np.count_nonzero(exact == k)
    kept = sum(row[f"both_{name}"] for name in FOREGROUND) + ((exact == 0) & (repaired == 0)).sum()
    assert row["changed"] == exact.size - kept
