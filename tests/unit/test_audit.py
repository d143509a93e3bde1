import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lumbarflow.data import survey
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


def test_the_dataset_table():
    rows = []
    for name, patient, sequence, orientation in (
        ("1_t1", "1", "t1", "LPS"),
        ("1_t2", "1", "t2", "LPS"),
        ("2_t1", "2", "t1", "PIR"),
    ):
        rows.append({"volume": name, "patient": patient, "sequence": sequence, "corrected": False})
        rows[-1] |= description(orientation)
    rows[2]["image_sha256"] = "another"
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
    assert table.loc[survey.DEFECTS["defect_turned"], "t1"] == "1 of 2"
    assert table.loc["sex, patients", "all"] == "F (1), unknown (1)"
    assert table.loc["scanner, series", "t1"] == "A x (1), unknown (1)"
    assert table.loc["intensities, series with negative ones", "all"] == "3, from -9"
    assert table.loc["series with another's picture", "all"] == "1_t1 = 1_t2"
    assert table.loc["series with another's picture", "t1"] == 0
    bare = audit.dataset(pd.DataFrame(rows), None, published)
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


@given(*[arrays(np.uint8, (5, 7), elements=st.integers(0, 3))] * 2)
def test_counts_of_a_comparison_add_up(exact, repaired):
    row = survey.compare(exact, repaired)
    for k, name in enumerate(survey.FOREGROUND, 1):
        assert row[f"both_{name}"] <= min(row[f"exact_{name}"], row[f"repaired_{name}"])
        assert row[f"exact_{name}"] == np.count_nonzero(exact == k)
    kept = sum(row[f"both_{name}"] for name in survey.FOREGROUND) + ((exact == 0) & (repaired == 0)).sum()
    assert row["changed"] == exact.size - kept
