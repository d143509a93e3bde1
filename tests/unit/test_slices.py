import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lumbarflow import DataError
from lumbarflow.data import labels, volumes
from lumbarflow.images import slices
from lumbarflow.images.slices import Placement
from lumbarflow.learning import decision, prediction


def test_stretch_fills_the_canvas():
    assert slices.place((100, 50), (1.0, 1.0), (640, 512), "stretch") == Placement(0, 0, 640, 512)


def test_letterbox_keeps_the_physical_aspect():
    # 100 x 100 mm on a canvas of 640 x 512: the width decides
    assert slices.place((200, 50), (0.5, 2.0), (640, 512), "letterbox") == Placement(64, 0, 512, 512)


@pytest.mark.parametrize("window", ["slice", "volume"])
def test_padding_is_left_out_of_the_window(window, caplog):
    """A corner of a volume at -32768, as some programs leave it: nearly all greys would go to nothing."""
    array = np.random.default_rng(1).integers(0, 1000, (3, 20, 20)).astype(np.int16)
    expected = slices.windows(array, window, [0, 100])
    array[:, :3, :10] = -32768
    found = slices.windows(array, window, [0, 100])
    np.testing.assert_allclose(found, expected, atol=30)
    assert "7.5 % of the voxels are -32768, far below all others" in caplog.text
    array[1] = -32768
    grey = [
        slices.to_grey(plane, *limits)
        for plane, limits in zip(array, slices.windows(array, window, [0, 100]), strict=True)
    ]
    assert not grey[1].any()  # a slice of padding alone is black
    assert len(np.unique(grey[0])) > 150


@pytest.mark.parametrize("values", [(0, 1, 2), (-9, 0, 40), (0, 100), (-1000, -990, 500)])
def test_dark_voxels_are_no_padding(values):
    assert slices.padding(np.resize(values, (2, 5, 6))) is None


def test_windows():
    array = np.stack([np.full((4, 4), 5.0), np.arange(16.0).reshape(4, 4)])
    np.testing.assert_array_equal(slices.windows(array, "slice", [0, 100]), [[5, 5], [0, 15]])
    np.testing.assert_array_equal(slices.windows(array, "volume", [0, 100]), [[0, 15], [0, 15]])
    with pytest.raises(DataError, match="NaN"):
        slices.windows(np.full((1, 2, 2), np.nan), "slice", [0, 100])
    with pytest.raises(DataError, match="every voxel is 7: there is no picture"):
        slices.windows(np.full((2, 2, 2), 7), "slice", [0, 100])


def test_grey_stretches_and_a_constant_plane_is_black():
    plane = np.array([[-1000, 1548, 4096]], np.int16)
    np.testing.assert_array_equal(slices.to_grey(plane, -1000, 4096), [[0, 127, 255]])
    assert not slices.to_grey(np.full((3, 3), 7), 7, 7).any()


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(20, 90), st.integers(20, 90)),
    st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
    st.sampled_from(["stretch", "letterbox"]),
)
def test_a_disc_survives_the_way_to_the_canvas_and_back(size, spacing, fit):
    """A mask drawn on the source comes back in place: no shift, no scaling."""
    y, x = np.mgrid[: size[0], : size[1]]
    centre = (size[0] * 0.6, size[1] * 0.4)
    disc = ((y + 0.5 - centre[0]) / size[0]) ** 2 + ((x + 0.5 - centre[1]) / size[1]) ** 2 < 0.2**2
    place = slices.place(size, spacing, (256, 208), fit)
    assume(place.height >= size[0] and place.width >= size[1])  # fewer rows than the source has lose some of it
    canvas = slices.to_canvas(disc.astype(np.uint8), place, (256, 208), "nearest")
    shares = slices.resize(np.stack([1 - canvas, canvas], -1).astype(np.float32), (256, 208), "linear")
    back = slices.to_source(shares, place, (256, 208), size).argmax(-1).astype(bool)
    assert 2 * (back & disc).sum() / (back.sum() + disc.sum()) > 0.97


def test_majority_of_classes_where_masks_shrink():
    mask = np.array([[1, 1, 0, 0], [1, 0, 3, 3]], np.uint8)
    np.testing.assert_array_equal(slices.resize_classes(mask, (1, 2), "area"), [[1, 0]])
    np.testing.assert_array_equal(slices.resize_classes(mask, (2, 4), "area"), mask)


def round_trip(classes, spacing, size, fit):
    """Class masks [slices, H, W] to the canvas and back by the way that predictions go."""
    place = slices.place(classes.shape[1:], spacing, size, fit)
    row = {**dataclasses.asdict(place), "source_height": classes.shape[1], "source_width": classes.shape[2]}
    canvases = [slices.to_canvas(plane, place, size, "nearest") for plane in classes]
    return np.stack(
        [
            decision.decide(prediction.on_source((c[..., None] == np.arange(4)).astype(np.float32), row, size))
            for c in canvases
        ]
    )


def test_a_mask_comes_back_identical_where_nothing_is_resampled():
    classes = np.random.default_rng(0).integers(0, 4, (3, 40, 30)).astype(np.uint8)
    np.testing.assert_array_equal(round_trip(classes, (1.0, 1.0), (40, 30), "stretch"), classes)
    np.testing.assert_array_equal(round_trip(classes, (1.0, 1.0), (40, 50), "letterbox"), classes)


@pytest.mark.parametrize("name", ["1_t2", "5_t2_SPACE", "110_t2_SPACE"])
def test_real_masks_come_back(real_data, name):
    """The sound recipe at the paper's size: pooled over the foreground at least 0.99 where it resamples."""
    mask = volumes.read(real_data / f"fullres/masks/{name}.mha")
    classes = labels.lut(mask.array)
    back = round_trip(classes, mask.spacing[1:], (640, 512), "letterbox")
    if classes.shape[1:] == (640, 512):
        np.testing.assert_array_equal(back, classes)
    both = ((back == classes) & (classes > 0)).sum()
    assert 2 * both / ((back > 0).sum() + (classes > 0).sum()) >= 0.99
