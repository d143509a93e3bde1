"""What becomes of probabilities: small components, and the grid they lie on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from lumbarflow.images import png
from lumbarflow.learning import decision, prediction


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
    kept = decision.without_small(mask, least)
    assert not (kept & ~mask).any()
    assert sorted(flood(kept)) == sorted(size for size in flood(mask) if size >= least)


def test_clean_counts_in_cubic_millimetres_and_class_by_class():
    shape, spacing = (4, 10, 10), (4.0, 0.5, 0.5)  # 1 mm3 a voxel
    large, small, disc = (1, ((0, 0, 0), (2, 3, 3))), (1, ((3, 6, 6), (4, 8, 8))), (3, ((3, 0, 6), (4, 2, 8)))
    found = decision.Decision({}, {"vertebrae": 5, "ivd": 0}).clean(box(shape, large, small, disc), spacing)
    np.testing.assert_array_equal(found, box(shape, large, disc))
    np.testing.assert_array_equal(
        decision.Decision({}, {"vertebrae": 4}).clean(box(shape, small), spacing), box(shape, small)
    )  # exactly that volume stays


def test_the_smallest_kept_is_what_suits_each_class():
    shape, spacing = (2, 20, 20), (1.0, 1.0, 1.0)
    truth = box(shape, (1, ((0, 0, 0), (2, 8, 8))), (3, ((0, 12, 0), (1, 14, 2))))
    wrong = box(shape, (1, ((0, 15, 15), (1, 18, 18))))  # 9 voxels of a vertebra that is none
    predicted = np.where(wrong > 0, wrong, truth)
    assert decision.choose_smallest([(predicted, truth, spacing)], [4, 10, 500]) == {
        "vertebrae": 10,
        "spinal_canal": 0,
        "ivd": 0,
    }


@pytest.mark.parametrize("count", [1, 2, 3, 12])
@pytest.mark.parametrize("sigma", [0.1, 0.375, 1.5])
def test_planes_are_averaged_across_slices(count, sigma):
    """As SciPy does it; thick slices stay as they are, and so does a volume whose slices are alike."""
    p = np.random.default_rng(0).dirichlet([1] * 4, (count, 3, 2)).astype(np.float32)
    found = np.stack(list(prediction.smooth(iter(p), sigma)))
    radius = len(prediction.gaussian(sigma)) // 2
    expected = ndimage.gaussian_filter1d(p, sigma, axis=0, mode="nearest", radius=radius) if radius else p
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert radius == round(3 * sigma)
    assert found.dtype == np.float32
    alike = np.repeat(p[:1], 5, axis=0)
    np.testing.assert_allclose(list(prediction.smooth(alike, sigma)), alike, rtol=1e-6)
    np.testing.assert_array_equal(list(prediction.smooth(p, 0)), p)


ROW = {"source_height": 64, "source_width": 64, "top": 0, "left": 0, "height": 128, "width": 128}


def test_views_lie_evenly_between_each_other():
    assert prediction.offsets(1) == [(0, 0)]
    assert prediction.offsets(2) == [(-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)]


def store(folder, canvas):
    digest = png.write(folder / "1_t1/000.png", canvas)
    return {"volume": "1_t1", "index": "0", "image_sha256": digest}


@pytest.mark.parametrize("offset", [(0, 0), (0.25, -0.25), (-0.5, 0.25)])
def test_a_moved_view_goes_back_to_where_it_was(tmp_path, offset):
    """A ramp is seen higher by as much as the grid is moved, and comes back in its place."""
    y, x = np.mgrid[:128, :128]
    row = store(tmp_path, (y + x // 2).astype(np.uint8))
    (still,), (moved,) = (prediction.load_view([row], tmp_path, (32, 32), "area", o) for o in ((0, 0), offset))
    step = np.mean(moved[4:-4, 4:-4].astype(float) - still[4:-4, 4:-4])
    assert step == pytest.approx(4 * (offset[0] + offset[1] / 2), abs=0.5)  # greys are whole numbers
    there, back = (
        prediction.on_source(view[..., None].astype(np.float32), ROW, (128, 128), o)
        for view, o in ((still, (0, 0)), (moved, offset))
    )
    np.testing.assert_allclose(back[8:-8, 8:-8], there[8:-8, 8:-8], atol=1.1)


def test_four_views_see_more_than_one(tmp_path):
    """With a network that knows each pixel's majority, edges on the finer source come out better."""
    y, x = np.mgrid[:128, :128]
    canvas = ((y // 2 - 31.5) ** 2 + (x // 2 - 30) ** 2 < 19**2).astype(np.uint8)  # a disc on the 64 x 64 source
    row = store(tmp_path, canvas * 255)

    def error(views):
        total = 0
        for offset in prediction.offsets(views):
            (view,) = prediction.load_view([row], tmp_path, (32, 32), "area", offset)
            p = np.stack([view <= 127, view > 127], -1).astype(np.float32)
            total = total + prediction.on_source(p, ROW, (128, 128), offset)
        return (decision.decide(total) != canvas[::2, ::2]).sum()

    assert error(2) < 0.7 * error(1)
