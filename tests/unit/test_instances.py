"""SPIDER's score: by hand, against another way to compute it, and of the truth itself."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lumbarflow.data import volumes, writing
from lumbarflow.measures import instances
from lumbarflow.report import published, table3


def volume():
    """Two vertebrae, two discs and a canal: boxes of 4 x 4 x 4 voxels."""
    truth = np.zeros((6, 30, 20), np.int16)
    for top, label in ((1, 2), (6, 202), (11, 1), (16, 201)):
        truth[1:5, top : top + 4, 2:6] = label
    truth[1:5, 1:29, 10:13] = 100
    return truth


def rows_of(pred, truth, spacing=(1, 1, 1)):
    return {row["label"]: row for row in instances.instance_rows(pred, truth, spacing, spacing)}


def scores_of(rows):
    return {(row["score"], row["class"]): row for row in instances.case_scores(rows)}


def test_the_truth_as_prediction():
    rows = rows_of(volume(), volume())
    assert list(rows) == [1, 2, 100, 201, 202]
    assert all(row["dice"] == 1 and row["asd_mm"] == row["asd_official_mm"] == 0 for row in rows.values())
    for (score, name), row in scores_of(rows.values()).items():
        assert row["dice"] == 1, (score, name)
        if name != "all":
            assert (row["asd"], row["detection"], row["missed"]) == (0, 1, 0)


def test_by_hand():
    truth, pred = volume(), volume()
    pred[truth == 2] = 0  # vertebra 2 is not found
    pred[1:5, 11:13, 2:6] = 0  # half of vertebra 1
    pred[1:5, 25:27, 2:6] = 7  # a false one, near no structure
    rows = rows_of(pred, truth, (4, 0.5, 0.5))
    assert (rows[2]["match"], rows[2]["dice"]) == (0, 0)
    assert "asd_mm" not in rows[2]
    assert rows[1]["dice"] == pytest.approx(2 * 32 / (32 + 64))
    assert 0 < rows[1]["asd_mm"] < 0.5
    found = scores_of(rows.values())
    official, corrected, strict = (found[score, "vertebrae"] for score in instances.SCORES)
    half = pytest.approx(2 / 3)
    assert (official["dice"], corrected["dice"], strict["dice"]) == (half, half, pytest.approx(1 / 3))
    assert (official["detection"], official["missed"]) == (0.5, 1)
    assert np.isnan(official["asd"])  # one structure is not overlapped at all
    assert corrected["asd"] == strict["asd"] == pytest.approx(rows[1]["asd_mm"])
    assert found["official", "all"]["dice"] == pytest.approx((2 / 3 + 0 + 1 + 1 + 1) / 5)


def test_a_sliver_is_missed_but_its_distance_counts_officially():
    truth, pred = volume(), volume()
    pred[truth == 2] = 0
    pred[1, 1, 2:5] = 2
    found = scores_of(rows_of(pred, truth).values())
    assert found["official", "vertebrae"]["dice"] == 1
    assert found["strict", "vertebrae"]["dice"] == 0.5
    assert found["official", "vertebrae"]["asd"] == found["corrected", "vertebrae"]["asd"] > 0
    assert found["strict", "vertebrae"]["asd"] == 0


def test_a_disc_that_is_taken_for_a_vertebra():
    truth, pred = volume(), volume()
    pred[truth == 201] = 1
    found = scores_of(rows_of(pred, truth).values())
    assert found["official", "ivd"]["detection"] == found["corrected", "ivd"]["detection"] == 1
    assert (found["strict", "ivd"]["detection"], found["strict", "ivd"]["missed"]) == (0.5, 1)
    assert found["official", "ivd"]["dice"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["strict", "ivd"]["dice"] == 0.5
    assert found["official", "ivd"]["asd"] > found["strict", "ivd"]["asd"] == 0
    pred[truth == 100] = 3
    assert scores_of(rows_of(pred, truth).values())["strict", "spinal_canal"]["dice"] == 0


def test_the_canal_always_counts():
    truth, pred = volume(), volume()
    pred[truth == 100] = 0
    found = scores_of(rows_of(pred, truth).values())
    assert found["official", "spinal_canal"]["dice"] == 0
    assert found["official", "spinal_canal"]["detection"] == 0


def test_two_true_structures_may_share_a_match():
    truth, pred = volume(), volume()
    pred[np.isin(truth, (1, 2))] = 5
    rows = rows_of(pred, truth)
    assert rows[1]["match"] == rows[2]["match"] == 5
    assert rows[1]["dice"] == pytest.approx(2 * 64 / (64 + 128))
    found = scores_of(rows.values())
    assert (found["official", "vertebrae"]["detection"], found["official", "vertebrae"]["missed"]) == (1, 0)
    assert (found["strict", "vertebrae"]["detection"], found["strict", "vertebrae"]["missed"]) == (0.5, 1)
    assert found["strict", "vertebrae"]["dice"] == pytest.approx(1 / 3)


def program(pred, truth):
    """The organisers' program as it is described, on stored images, by other means than ours: {label: (Dice, ASD)}."""
    a, b, sampling = sitk.GetArrayFromImage(pred), sitk.GetArrayFromImage(truth), truth.GetSpacing()  # x, y, z!
    full, found = np.ones((3, 3, 3)), {}
    for label in np.unique(b[b > 0]):
        over = a[(b == label) & (a > 0)]
        if not len(over):
            found[int(label)] = (0.0, None)
            continue
        values, counts = np.unique(over, return_counts=True)
        masks = [a == values[np.argmax(counts)], b == label]
        dice = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
        edges = [mask & ~ndimage.binary_erosion(mask, full) for mask in masks]
        away = [ndimage.distance_transform_edt(~edge, sampling=sampling) for edge in edges]
        distances = np.concatenate([away[1][edges[0]], away[0][edges[1]]])
        found[int(label)] = (dice, distances.mean())
    return found


@given(st.integers(0, 10_000), st.sampled_from(["LPS", "PIR", "RAS", "SPL"]))
def test_official_equals_the_program_in_any_orientation(tmp_path_factory, seed, orientation):
    rng = np.random.default_rng(seed)
    truth, pred = (ndimage.zoom(rng.integers(0, 4, (3, 4, 3)), (2, 3, 3), order=0) for _ in range(2))
    truth, pred = (np.array([0, 1, 100, 202])[array].astype(np.int16) for array in (truth, pred))
    if not truth.any():
        return
    spacing = rng.uniform(0.4, 4, 3).round(2).tolist()
    identity = np.eye(3).ravel().tolist()
    grid = volumes.Geometry((8, 12, 6), spacing, (0.0, 0.0, 0.0), identity).corrected(orientation)
    canonical = [np.transpose(array, np.argsort(np.argsort(grid.canonical_size()))) for array in (truth, pred)]
    canonical = [np.resize(array, grid.canonical_size()) for array in canonical]
    folder, images = tmp_path_factory.mktemp("stored"), []
    for name, array in zip(("truth", "pred"), canonical, strict=True):
        writing.write(folder / f"{name}.mha", array, grid)
        images.append(sitk.ReadImage(folder / f"{name}.mha"))
    expected = program(images[1], images[0])
    read = [volumes.read(folder / f"{name}.mha") for name in ("pred", "truth")]
    rows = instances.instance_rows(*(each.array for each in read), read[1].spacing, read[1].geometry.swapped_spacing())
    assert {row["label"] for row in rows} == set(expected)
    for row in rows:
        dice, distance = expected[row["label"]]
        assert row["dice"] == pytest.approx(dice)
        assert row.get("asd_official_mm") == (None if distance is None else pytest.approx(distance))


def test_table_3_of_the_truth():
    rows = [{"volume": name, "training": "a", **row} for name in "xy" for row in rows_of(volume(), volume()).values()]
    paper, systems = (published.read(name) for name in ("table3", "systems"))
    empty = pd.DataFrame(columns=["experiment", "class", "how"])
    frame = table3.table3(empty, {}, {("truth", "t1"): pd.DataFrame(rows)}, paper, systems)
    ours = frame[frame["system"] == "truth, t1"]
    assert set(ours["score"]) == {"official", "corrected", "strict"}
    assert (ours.loc[ours["metric"] == "asd", "value"] == 0).all()
    assert (ours.loc[ours["metric"] != "asd", "value"] == 1).all()
    assert (ours["cases"] == 2).all()
    assert frame["comparable with"].notna().all()
    # in a second training a distance is not known: then the mean of both is not
    other = pd.DataFrame(rows).assign(training="b")
    lost = other.index[(other["volume"] == "x") & (other["class"] == "vertebrae")][0]
    other.loc[lost, ["match", "dice", "asd_mm", "asd_official_mm"]] = [0, 0, np.nan, np.nan]
    both = pd.concat([pd.DataFrame(rows), other])
    ours = table3.table3(empty, {}, {("truth", "t1"): both}, paper, systems)
    ours = ours[(ours["system"] == "truth, t1") & (ours["metric"] == "asd")].set_index(["score", "class"])["cases"]
    assert ours.to_dict() == {key: 1 if key == ("official", "vertebrae") else 2 for key in ours.index}
