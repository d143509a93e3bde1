"""Single structures of class volumes: real, synthetic and bad ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lumbarflow.data import labels, phantom, volumes
from lumbarflow.measures import instances, structures


def counted(found):
    """(vertebrae, discs) of a label volume, which must be numbered without a gap."""
    numbers = np.unique(found)
    vertebrae, discs = numbers[(numbers > 0) & (numbers < 100)], numbers[numbers > 200]
    assert vertebrae.tolist() == list(range(1, len(vertebrae) + 1))
    assert discs.tolist() == list(range(201, 201 + len(discs)))
    return len(vertebrae), len(discs)


def dice_of(found, truth, below=100):
    return [row["dice"] for row in instances.instance_rows(found, truth, (1, 1, 1), (1, 1, 1)) if row["label"] < below]


@pytest.fixture(scope="module")
def spine():
    """(labels, spacing) of a phantom of 7 levels."""
    _, truth, geometry = phantom.make_volume(3, 3, "t2")
    return truth, geometry.canonical_spacing()


def label_of(truth, spacing, *changes):
    classes = labels.lut(truth)
    for where, value in changes:
        classes[where] = value
    found = structures.label(classes, spacing)
    kept = found > 0
    np.testing.assert_array_equal(labels.lut(found)[kept], classes[kept])  # of the same class
    return found


@pytest.mark.parametrize("sequence", ["t1", "t2", "t2_SPACE"])
@pytest.mark.parametrize("patient", [1, 2])
def test_the_phantoms(patient, sequence):
    _, truth, geometry = phantom.make_volume(3, patient, sequence)
    found = label_of(truth, geometry.canonical_spacing())
    assert min(dice_of(found, truth, 999)) >= 0.98
    assert counted(found) == counted(truth)


def test_counted_from_the_lowest_up(spine):
    found = label_of(*spine)
    for numbers in (range(1, 8), range(201, 208)):
        rows = [np.argwhere(found == number)[:, 1].mean() for number in numbers]
        assert rows == sorted(rows, reverse=True)


def test_a_missing_disc(spine):
    truth, spacing = spine
    found = label_of(truth, spacing, (truth == 203, 0))
    assert counted(found) == (7, 6)
    assert min(dice_of(found, truth)) >= 0.98


def test_fused_vertebrae(spine):
    truth, spacing = spine
    found = label_of(truth, spacing, (truth == 203, 1))
    assert counted(found) == (7, 6)
    assert min(dice_of(np.where(truth == 203, 0, found), truth)) >= 0.95  # the disc's place is no one's


@pytest.mark.parametrize("axis", [0, 2])
def test_a_disc_in_two_pieces(spine, axis):
    truth, spacing = spine
    middle = round(np.argwhere(truth == 204)[:, axis].mean())
    gap = np.expand_dims(np.arange(truth.shape[axis]) == middle, [k for k in range(3) if k != axis])
    assert counted(label_of(truth, spacing, ((truth == 204) & gap, 0))) == (7, 7)


def test_discs_that_grow_together(spine):
    truth, spacing = spine
    z, _, x = np.argwhere(np.isin(truth, (203, 204))).mean(0).round().astype(int)
    rows = np.argwhere(np.isin(truth, (203, 204)))[:, 1]
    bridge = (slice(z, z + 2), slice(rows.min(), rows.max()), slice(x, x + 3))
    found = label_of(truth, spacing, (bridge, 3))
    assert counted(found) == (7, 7)
    assert min(dice_of(found, truth, 999)) >= 0.9


def test_stray_blobs_count_for_nothing(spine):
    truth, spacing = spine
    between = np.argwhere(truth == 4).mean(0).round().astype(int)
    inside = tuple(slice(k, k + 2) for k in between)
    found = label_of(
        truth, spacing, ((slice(0, 2), slice(0, 4), slice(0, 3)), 3), (inside, 3), ((slice(0, 1), slice(-2, None)), 1)
    )
    assert counted(found) == (7, 7)
    assert min(dice_of(found, truth)) >= 0.98


def test_arches_that_touch_and_processes_apart():
    """Two levels whose arches meet: the joint's rear half belongs to the upper one. The lower process lies apart."""
    truth = np.zeros((5, 90, 70), np.int16)
    truth[:, :, 32:40] = 100
    for number, top in ((2, 10), (1, 50)):
        truth[:, top : top + 25, 5:30] = number
        truth[0, top + 5 : top + 10, 30:45] = number  # a pedicle
        truth[:, top + 5 : top + 22, 42:46] = number  # an arch
        truth[:, top + 20 : top + 32, 46:60] = number  # a process
    truth[0, 44:56, 42:46] = 2  # reaches down to the lower arch
    truth[:, 38:47, 5:30] = 202
    truth[:, 78:87, 5:30] = 201
    found = structures.label(labels.lut(truth), (1.0, 1.0, 1.0))
    assert counted(found) == (2, 2)
    assert min(dice_of(found, truth)) >= 0.95


@pytest.mark.parametrize("shown", [(), (1,), (2,), (3,), (1, 2), (2, 3), (1, 3)])
def test_missing_classes(spine, shown):
    truth, spacing = spine
    classes = labels.lut(truth)
    found = structures.label(np.where(np.isin(classes, shown), classes, 0), spacing)
    vertebrae, discs = counted(found)
    assert (found == 100).any() == (2 in shown)
    assert discs == (7 if 3 in shown else 0)
    assert vertebrae == 7 if {1, 3} <= set(shown) else (vertebrae > 0) == (1 in shown)


def test_mirrored_left_and_right(spine):
    truth, spacing = spine
    np.testing.assert_array_equal(label_of(truth[::-1], spacing)[::-1], label_of(truth, spacing))


@settings(max_examples=25)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 40), st.integers(1, 30)),
    st.tuples(*[st.floats(0.3, 6)] * 3),
    st.integers(0, 10_000),
    st.sampled_from([1, 3, 8]),
)
def test_any_volume_has_a_result(shape, spacing, seed, grain):
    """Noise, coarse or fine: every voxel keeps its class or is stray."""
    noise = np.random.default_rng(seed).integers(0, 4, [-(-length // grain) for length in shape])
    classes = noise
    for axis, length in enumerate(shape):
        classes = classes.repeat(grain, axis).take(range(length), axis)
    found = structures.label(classes, spacing)
    counted(found)
    kept = found > 0
    np.testing.assert_array_equal(labels.lut(found)[kept], classes[kept])
    assert ((found == 100) == (classes == 2)).all()


@pytest.mark.parametrize(
    ("classes", "spacing"),
    [(np.zeros((3, 4)), (1, 1)), (np.full((2, 2, 2), 5), (1, 1, 1)), (np.zeros((2, 2, 2)), (1, 0, 1))],
)
def test_what_is_no_class_volume(classes, spacing):
    with pytest.raises(ValueError, match="expected"):
        structures.label(classes.astype(int), spacing)


def test_a_real_volume(real_data):
    """Scoliotic, 7 levels; joints connect its vertebrae. Components of the same mask reach 0.52."""
    mask = volumes.read(real_data / "fullres/masks/1_t2.mha")
    found = label_of(mask.array, mask.spacing)
    dice = dice_of(found, mask.array)
    assert np.mean(dice) >= 0.99
    assert min(dice) >= 0.98
    assert dice_of(found, mask.array, 999)[7:] == [1.0] * 8  # canal and discs
    whole = (mask.array > 0).any((1, 2))
    sheared = np.stack([np.roll(plane, 3 * k, 1) for k, plane in enumerate(mask.array[whole])])  # more scoliosis
    assert counted(label_of(sheared, mask.spacing)) == (7, 7)


def test_real_volumes_have_as_many_structures_as_their_masks(real_data):
    """Of more than 500 voxels. These labels were derived, so two of 30 may differ."""
    same = 0
    for path in sorted((real_data / "t2space/masks").glob("*.mha")):
        mask = volumes.read(path)
        found = structures.label(labels.lut(mask.array), mask.spacing)
        sizes = [np.bincount(array.ravel(), minlength=256) for array in (mask.array.astype(int), found)]
        same += len({((size[1:100] > 500).sum(), (size[201:] > 500).sum()) for size in sizes}) == 1
    assert same >= 28


def test_geodesic_against_another_way():
    """The shortest ways of a small mask once more, by relaxing all steps until nothing changes."""
    rng = np.random.default_rng(5)
    mask, lengths = rng.random((4, 9, 8)) < 0.6, np.array([3.0, 1.0, 1.2])
    seeds = np.zeros(mask.shape, np.uint8)
    for number, place in enumerate(np.argwhere(mask)[[0, -1]], 1):
        seeds[tuple(place)] = number
    ranges = np.tile([-np.inf, np.inf], (3, 1))
    cost = np.where(mask, np.float32(1), np.float32(np.inf))
    _, far = structures._geodesic(cost, seeds, lengths, np.zeros(mask.shape, np.float32), ranges)
    expected = np.where(seeds > 0, 0, np.inf)
    for _ in range(mask.sum()):
        for step in np.argwhere(np.ones((3, 3, 3))) - 1:
            if step.any():
                straight = np.linalg.norm(step * lengths)
                length = straight * (1 - structures.HANGING * step[1] * lengths[1] / straight)
                moved = ndimage.shift(expected, step, order=0, cval=np.inf) + length
                expected = np.where(mask, np.minimum(expected, moved), np.inf)
    np.testing.assert_allclose(far, expected, rtol=1e-5)
