"""What becomes of probabilities: small components, and the grid they lie on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lumbarflow import prediction


def box(shape, *corners):
    mask = np.zeros(shape, np.uint8)
    for k, (low, high) in corners:
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = k
    return mask


def flood(mask):
    """Sizes of the components of a boolean array, voxel by voxel."""
    left, sizes = set(map(tuple, np.argwhere(mask))), []
    while left:
        front, size = [left.pop()], 1
        while front:
            place = front.pop()
            for axis in range(mask.ndim):
                for step in (-1, 1):
                    near = (*place[:axis], place[axis] + step, *place[axis + 1 :])
                    if near in left:
                        left.remove(near)
                        front.append(near)
                        size += 1
        sizes.append(size)
    return sizes


@given(hnp.arrays(bool, (3, 6, 6)), st.integers(0, 12))
def test_what_is_kept_are_the_components_of_enough_voxels(mask, least):
    kept = prediction.without_small(mask, least)
    assert not (kept & ~mask).any()
    assert sorted(flood(kept)) == sorted(size for size in flood(mask) if size >= least)


def test_clean_counts_in_cubic_millimetres_and_class_by_class():
    shape, spacing = (4, 10, 10), (4.0, 0.5, 0.5)  # 1 mm3 a voxel
    large, small, disc = (1, ((0, 0, 0), (2, 3, 3))), (1, ((3, 6, 6), (4, 8, 8))), (3, ((3, 0, 6), (4, 2, 8)))
    found = prediction.clean(box(shape, large, small, disc), spacing, {"vertebrae": 5, "ivd": 0})
    np.testing.assert_array_equal(found, box(shape, large, disc))
    np.testing.assert_array_equal(
        prediction.clean(box(shape, small), spacing, {"vertebrae": 4}), box(shape, small)
    )  # exactly that volume stays


def test_the_smallest_kept_is_what_suits_each_class():
    shape, spacing = (2, 20, 20), (1.0, 1.0, 1.0)
    truth = box(shape, (1, ((0, 0, 0), (2, 8, 8))), (3, ((0, 12, 0), (1, 14, 2))))
    wrong = box(shape, (1, ((0, 15, 15), (1, 18, 18))))  # 9 voxels of a vertebra that is none
    predicted = np.where(wrong > 0, wrong, truth)
    assert prediction.choose_smallest([(predicted, truth, spacing)], [4, 10, 500]) == {
        "vertebrae": 10,
        "spinal_canal": 0,
        "ivd": 0,
    }


def test_spacing_of_the_network_grid():
    row = {"source_height": "320", "source_width": "128", "height": "640", "width": "256", "top": "0", "left": "128"}
    spacing = prediction.network_spacing(row, (3.0, 0.9, 0.9), (640, 512), (160, 128))
    assert spacing == pytest.approx((3.0, 1.8, 1.8))
