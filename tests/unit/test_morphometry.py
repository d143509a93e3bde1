"""Measurements against the phantom's geometry, which is known by its formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, optimize

from lumbarflow.data.phantom import column_coordinates, draw_patient, make_labels
from lumbarflow.measures import morphometry

SIZE, SPACING = (16, 176, 144), (2.4, 1.5, 1.5)
FINE, FINE_SPACING = (16, 352, 288), (2.4, 0.75, 0.75)  # nearer to real scans
BASE = -112.0  # s of the lowest disc's lower face


def place(patient, s, u):
    """(down, back) in mm from the volume's centre of the place in the middle plane with column coordinates s and u."""

    def missed(at):
        found = column_coordinates(patient, np.zeros(1), -at[:1], at[1:])
        return found[1][0] - s, found[2][0] - u

    found, _, reached, _ = optimize.fsolve(missed, (-s - patient.shift[1], u + patient.shift[2]), full_output=True)
    assert reached == 1
    return found


def line(points):
    """(middle, unit vector) of the straight line nearest to points [N, 2]."""
    middle = np.mean(points, 0)
    return middle, np.linalg.svd(points - middle)[2][0]


def cross(one, other):
    """Where two lines meet."""
    step = np.linalg.solve(np.transpose([one[1], -other[1]]), other[0] - one[0])[0]
    return one[0] + step * one[1]


def truth(patient):
    """{label: {column: value}} by the phantom's formula."""
    found, lines, bottom = {}, {}, BASE
    half, inner = patient.depth / 2, np.linspace(-0.8, 0.8, 17)
    for k in range(patient.count):
        body = bottom + patient.gaps[k]
        # the rear wall: of a body with its waist, of a disc a little outside
        for label, low, high, depth in (
            (201 + k, bottom, body, half * 1.05**0.25 + 0 * inner),
            (1 + k, body, body + patient.heights[k], half * (1 - 0.16 * (1 - inner**2)) ** 0.25),
        ):
            wall = depth[8]
            values = {
                f"height_{name}_mm": math.dist(place(patient, high, u * wall), place(patient, low, u * wall))
                for name, u in (("anterior", -0.8), ("middle", 0), ("posterior", 0.8))
            }
            values["depth_mm"] = math.dist(*(place(patient, (low + high) / 2, u) for u in (-wall, wall)))
            plates = [
                line([place(patient, s, u * wall) for u in (-0.9, -0.8, -0.7, 0.7, 0.8, 0.9)]) for s in (high, low)
            ]
            rises = [math.degrees(math.atan(-each[1][0] / -each[1][1])) for each in plates]
            values["wedge_deg"] = rises[0] - rises[1]
            middle, reach = (low + high) / 2, (high - low) / 2
            rear = line([place(patient, middle + i * reach, u) for i, u in zip(inner, depth, strict=True)])
            lines[label], found[label] = (plates, rear, rises), values
        bottom = body + patient.heights[k]
    for k in range(2, patient.count + 1):
        (below, _), rear, _ = lines[k - 1]
        front = below[1] * -np.sign(below[1][1])
        found[k]["slip_mm"] = (cross(lines[k][0][1], lines[k][1]) - cross(below, rear)) @ front
    return found, {label: each[2] for label, each in lines.items()}


def check(measured, patient, spacing):
    """Every value against the formula: lengths within 1 mm, angles within 2 degrees. Returns how many bodies and discs
    have heights."""
    (rows, column), (expected, rises) = measured, truth(patient)
    whole = [row for row in rows if row["depth_mm"] == row["depth_mm"]]
    for row in whole:
        for name, value in expected[row["label"]].items():
            if not (name == "slip_mm" and math.isnan(row[name])):  # the lower neighbour was cut
                assert row[name] == pytest.approx(value, abs=2 if name.endswith("deg") else 1), (row["label"], name)
    # the canal is an ellipse; its edge may lie half a voxel off. The border may cut it at the first and last disc
    axes, off = np.array([patient.canal / 2, patient.canal / 2 + 2]), spacing[1] / 2
    sections = [row for row in rows if row["canal_area_mm2"] == row["canal_area_mm2"]]
    assert len(sections) >= patient.count - 2
    for row in sections:
        assert row["canal_diameter_mm"] == pytest.approx(patient.canal, abs=1), row["label"]
        assert np.pi * np.prod(axes - off) < row["canal_area_mm2"] < np.pi * np.prod(axes + off), row["label"]
    top, bottom = column["lordosis_from"], column["lordosis_to"]
    assert column["lordosis_deg"] == pytest.approx(rises[top][0] - rises[bottom][1], abs=2)
    return len(whole)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_phantoms_sizes(number):
    patient = draw_patient(3, number)
    labels, _ = make_labels(patient, FINE, FINE_SPACING)
    measured = morphometry.measure(labels, FINE_SPACING)
    cut = number == 4  # its highest vertebra reaches the border
    assert check(measured, patient, FINE_SPACING) == 2 * patient.count - cut
    *levels, canal = measured[0]
    assert [row["label"] for row in levels] == [k for n in range(1, patient.count + 1) for k in (200 + n, n)]
    assert (levels[-1]["remark"] == "no heights: cut by the upper border") == cut
    assert (canal["structure"], canal["cut"], canal["remark"]) == ("canal", "upper lower", "")
    assert "upper" in levels[-1]["cut"].split() or not cut


def test_volumes_and_lateral_deviation():
    patient = replace(draw_patient(3, 1), scoliosis=9.0, breadth=34.0)
    size, spacing = (28, 264, 216), (2.4, 1.0, 1.0)
    rows, column = morphometry.measure(make_labels(patient, size, spacing)[0], spacing)
    finer, steps = (56, 352, 288), (1.2, 0.75, 0.75)
    voxels = np.bincount(make_labels(patient, finer, steps)[0].ravel())
    for row in rows:
        assert row["volume_mm3"] == pytest.approx(voxels[row["label"]] * np.prod(steps), rel=0.03), row["label"]
    assert (column["vertebrae"], column["discs"]) == (patient.count, patient.count)
    # where the middle of each body lies, by the formula
    tops = BASE + np.cumsum(patient.gaps + patient.heights)
    heights = np.array(
        [-place(patient, top - height / 2, 0)[0] for top, height in zip(tops, patient.heights, strict=True)]
    )
    middles = patient.scoliosis * np.sin(2 * np.pi / 300 * (heights - patient.shift[1]))
    expected = middles - np.interp(heights, heights[[0, -1]], middles[[0, -1]])
    found = [row["lateral_mm"] for row in rows if row["structure"] == "vertebra"]
    assert max(abs(expected)) > 5
    np.testing.assert_allclose(found, expected, atol=1)
    narrow = morphometry.measure(make_labels(patient, size, spacing)[0][6:-6], spacing)[0]
    assert all(math.isnan(row["lateral_mm"]) for row in narrow if {"left", "right"} & set(row["cut"].split()))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_how_the_patient_lies_does_not_count(axis):
    """Turned by 10 degrees about each axis of the volume."""
    patient = draw_patient(3, 1)
    size, spacing = (56, 300, 200), np.array((1.8, 0.9, 0.9))
    labels, _ = make_labels(patient, size, spacing)
    other = [k for k in range(3) if k != axis]
    turn = np.eye(3)
    cosine, sine = math.cos(math.radians(10)), math.sin(math.radians(10))
    turn[np.ix_(other, other)] = [[cosine, -sine], [sine, cosine]]
    turn *= spacing / spacing[:, None]  # from voxels to voxels
    middle = (np.array(size) - 1) / 2
    turned = ndimage.affine_transform(labels, turn, middle - turn @ middle, order=0)
    assert check(morphometry.measure(turned, spacing), patient, spacing) >= 2 * patient.count - 4


def test_signal():
    labels, _ = make_labels(draw_patient(3, 1), SIZE, SPACING)
    image = np.full(SIZE, 500, np.int16)
    image[:, :, :5] = -1000  # air: the darkest grey
    image[labels == 100] = 1000
    image[labels == 203] = -500
    signals = {row["label"]: row["signal"] for row in morphometry.measure(labels, SPACING, image)[0]}
    assert signals[203] == pytest.approx(500 / 2000)
    assert signals[204] == pytest.approx(1500 / 2000)
    padded = image.copy()
    padded[:, :4] = -32768  # outside of the picture
    again = {row["label"]: row["signal"] for row in morphometry.measure(labels, SPACING, padded)[0]}
    assert again[203] == pytest.approx(signals[203])
    assert math.isnan(signals[3])
    assert math.isnan(signals[100])


def test_a_volume_that_was_filled_up_around_a_turned_picture():
    """The border of the picture cuts, not that of the volume; a black spot beside a body does not."""
    labels, _ = make_labels(draw_patient(3, 1), SIZE, SPACING)
    columns = np.flatnonzero((labels == 206).any((0, 1)))
    edge = int(np.flatnonzero((labels[:, :, : int(columns.mean())] == 6).any((0, 2))).mean())
    rows = edge + np.arange(SIZE[0]) // 8  # the edge is not level
    filled = np.arange(SIZE[1]) < rows[:, None]
    image = np.where(filled[..., None], 0, 100 + labels).astype(np.int16)
    image[:, edge + 30, : int(columns.mean())] = 0
    found = morphometry.measure(np.where(image == 0, 0, labels), SPACING, image)[0]
    remarks = {row["label"]: row["remark"] for row in found}
    assert remarks.pop(6) == "no heights: cut by the edge of the picture"
    assert not any("cut" in each for label, each in remarks.items() if label < 6 or 200 < label < 206)


def test_what_cannot_be_measured_says_why():
    labels, _ = make_labels(draw_patient(3, 1), SIZE, SPACING)

    def remarks(changed):
        return {
            row["label"]: (row["remark"], math.isnan(row["depth_mm"]))
            for row in morphometry.measure(changed, SPACING)[0]
        }

    bare = remarks(np.where(labels == 100, 0, labels))
    assert set(bare.values()) == {("not measured: no canal to tell its front by", True)}
    assert list(bare) == [label for label in remarks(labels) if label != 100]  # from the lowest up all the same
    columns = np.flatnonzero((labels == 205).any((0, 1)))
    rows = np.flatnonzero((labels[:, :, : int(columns.mean())] == 5).any((0, 2)))
    found = remarks(labels[:, int(rows.mean()) :])
    assert found[5] == ("no heights: cut by the upper border", True)
    assert found[4] == ("", False)
    found = remarks(labels[:, :, columns[0] + 5 :])
    assert "front" in found[205][0]
    # a level that is missing: no slip over its gap
    found = remarks(np.where((labels == 4) | (labels == 204), 0, labels))
    assert found[5][0] == "no slip: the vertebra below it is missing"
    # nothing but an arch
    scattered = np.where(labels == 3, 0, labels)
    scattered[8, 80:84, -6:] = 3
    assert "front of the canal" in remarks(scattered)[3][0]
    row = np.flatnonzero((labels == 3).any((0, 2))).mean()
    scattered[scattered == 3] = 0
    scattered[8, int(row) : int(row) + 4, -6:] = 3
    assert list(remarks(scattered)) == list(remarks(labels))  # in its place, or all above it would be called another
    # crumbs have no end plates
    crumbs = np.where(labels == 202, 0, labels)
    crumbs[tuple(np.argwhere(labels == 202)[::17].T)] = 202
    assert remarks(crumbs)[202][0].startswith("no heights: no clear")


def test_little_to_measure():
    assert morphometry.measure(np.zeros((3, 20, 20), np.uint8), SPACING)[0] == []
    labels, _ = make_labels(draw_patient(3, 1), FINE, FINE_SPACING)
    rows, _ = morphometry.measure(labels[8:9], FINE_SPACING)  # one slice
    assert all(row["depth_mm"] > 20 for row in rows if row["structure"] == "vertebra")
    assert all(math.isnan(row["canal_area_mm2"]) and row["canal_diameter_mm"] > 8 for row in rows if row["label"] > 200)
    for shape, spacing, image in (
        ((4, 4), (1, 1, 1), None),
        ((4, 4, 4), (1, 0, 1), None),
        ((4,) * 3, (1,) * 3, (4, 4)),
    ):
        with pytest.raises(ValueError, match="expected"):
            morphometry.measure(np.zeros(shape, int), spacing, None if image is None else np.zeros(image))
