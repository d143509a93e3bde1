import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from lumbarflow import DataError
from lumbarflow.learning import batches

PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(4, 40), st.integers(4, 30)))


@given(PICTURES)
def test_normalisations_are_what_they_are_called(images):
    columns = batches.normalise(images, "column_l2")
    norms = np.linalg.norm(columns.astype(float), axis=1)
    np.testing.assert_allclose(norms, images.any(1), atol=1e-5)  # an empty column stays empty
    scaled = batches.normalise(images, "zscore").astype(float)
    np.testing.assert_allclose(scaled.mean((1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std((1, 2)), images.std((1, 2)) > 0, atol=1e-3)
    local = batches.normalise(images, "local")
    assert np.isfinite(local).all()
    for result in (columns, scaled, local):
        assert result.shape == images.shape


def test_local_takes_the_coils_shading_away():
    """The same anatomy under another fall of brightness gives nearly the same input; a z-score does not."""
    rng = np.random.default_rng(0)
    anatomy = np.kron(rng.uniform(60, 120, (20, 16)), np.ones((8, 8)))
    shading = np.exp(-1.5 * np.linspace(0, 1, 128))
    pictures = np.stack([anatomy, anatomy * shading]).astype(np.float32)
    alike = {how: np.corrcoef(*batches.normalise(pictures, how).reshape(2, -1))[0, 1] for how in ("local", "zscore")}
    assert alike["local"] > 0.9
    assert alike["zscore"] < 0.7


@pytest.mark.parametrize("size", [(96, 80), (160, 128), (250, 250), (256, 256), (320, 256)])
def test_local_is_nearly_what_the_exact_gaussian_gives(size):
    """On blurred noise with edges, as pictures are: within 0.01, everywhere."""
    rng = np.random.default_rng(0)
    pictures = []
    for sigma in (1, 3, 9):
        smooth = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), sigma)
        picture = 110 + 50 * smooth / smooth.std() + 60 * (np.indices(size).sum(0) > sum(size) / 2)
        picture[:, : size[1] // 5] = 2  # air
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    for picture, found in zip(pictures, batches.normalise(np.stack(pictures), "local"), strict=True):
        image, sigma = picture.astype(float), size[0] / 8
        image = image - ndimage.gaussian_filter(image, sigma, mode="reflect")
        exact = image / np.sqrt(ndimage.gaussian_filter(image * image, sigma, mode="reflect") + 16)
        np.testing.assert_allclose(found, exact, atol=0.01)


def test_air_is_not_blown_up():
    air = np.random.default_rng(0).integers(0, 2, (1, 160, 128)).astype(np.uint8)
    assert np.abs(batches.normalise(air, "local")).max() < 0.3


def test_an_unknown_normalisation():
    with pytest.raises(DataError, match="normalisation: 'l2' is not known; known: column_l2, zscore, local"):
        batches.normalise(np.zeros((1, 4, 4)), "l2")


def test_neighbours_are_of_the_same_volume_and_end_with_it():
    rows = [{"volume": volume, "index": str(index)} for volume in "ab" for index in range(3)]
    read = lambda row: np.full((2, 2), 10 * "ab".index(row["volume"]) + int(row["index"]), np.uint8)  # noqa: E731
    chosen = [rows[0], rows[1], rows[5]]
    images = batches.stacked(chosen, read, (2, 2), 2, rows)
    assert images.shape == (3, 2, 2, 5)
    assert images[:, 0, 0].tolist() == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 2], [10, 11, 12, 12, 12]]
    np.testing.assert_array_equal(batches.stacked(chosen, read, (2, 2), 0, ()), images[..., 2])


MOVES = {"rotation": 12, "scale": 0.2, "shift": 0.05, "elastic": 0.02, "gamma": 0.5, "shading": 0.3, "noise": 0}
MOVES |= {"contrast": 0.2, "invert": 0.5, "low_resolution": 0.3, "reverse": 0}
STILL = dict.fromkeys((*MOVES, "flip"), 0)


def test_a_slice_and_its_neighbours_are_changed_alike():
    """Channels of one picture stay one picture, and a channel is changed as it would be alone."""
    rng = np.random.default_rng(3)
    image = np.kron(rng.integers(20, 230, (8, 6), np.uint8), np.ones((6, 6), np.uint8))
    mask = (image > 120).astype(np.uint8)
    alone, moved = batches.augment(image, mask, np.random.default_rng(1), **MOVES, flip=1)
    stack, beside = batches.augment(np.stack([image] * 3, -1), mask, np.random.default_rng(1), **MOVES, flip=1)
    np.testing.assert_array_equal(moved, beside)
    for channel in range(3):
        np.testing.assert_allclose(stack[..., channel], alone, atol=1.0)
    assert np.abs(alone - image).mean() > 5


def greys(image, seed=0, **changes):
    return batches.augment(image, np.zeros(image.shape[:2], np.uint8), np.random.default_rng(seed), **STILL | changes)[
        0
    ]


def test_each_change_of_the_greys_does_what_it_is_called():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (32, 1))
    np.testing.assert_allclose(greys(ramp), ramp, atol=1e-3)
    np.testing.assert_allclose(greys(ramp, invert=1), 255 - ramp.astype(float), atol=1e-3)
    curves = np.stack([greys(ramp, seed, contrast=0.4)[0] for seed in range(40)])
    assert curves.min() >= 0
    assert curves.max() <= 255
    assert (np.diff(curves, axis=1) < -0.1).any(1).mean() > 0.2  # tissues change places in some
    assert np.abs(curves - ramp[0]).max() <= 0.4 * 255 + 1e-3
    fine = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    blurred = [greys(fine, seed, low_resolution=0.7).std() for seed in range(8)]
    assert min(blurred) < 0.2 * fine.std()
    noisy = np.stack([greys(np.full((64, 64), 128, np.uint8), seed, noise=0.1) for seed in range(20)]) - 128
    spreads = noisy.std((1, 2)) / 255
    assert spreads.max() < 0.105
    assert spreads.mean() == pytest.approx(0.05, abs=0.02)
    assert abs(noisy.mean()) < 0.5


def test_five_slices_at_one_time_and_their_order():
    stack = np.random.default_rng(0).integers(0, 256, (48, 40, 5), np.uint8)
    np.testing.assert_allclose(greys(stack, reverse=1), stack[..., ::-1], atol=1e-3)
    changes = {"low_resolution": 0.5, "contrast": 0.3, "shading": 0.3, "noise": 0.05, "elastic": 0.02, "rotation": 5}
    assert greys(stack, **changes).shape == stack.shape


def test_batches_are_the_same_in_any_number_of_workers():
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (22, 32, 24), np.uint8), rng.integers(0, 4, (22, 32, 24), np.uint8)
    made = [
        list(batches.iterate(images, masks, 4, 1, 2, "local", {**STILL, **MOVES}, workers=workers))
        for workers in (1, 2, 7)
    ]
    assert [len(each) for each in made] == [5, 5, 5]
    for one, *others in zip(*made, strict=True):
        for other in others:
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)
    # a training that stops early leaves no work behind
    early = batches.iterate(images, masks, 4, 1, 2, "local", STILL, workers=3)
    next(early)
    early.close()


@pytest.mark.parametrize("how", ["zscore", "local", "column_l2"])
def test_each_channel_is_normalised_by_itself(how):
    images = np.random.default_rng(0).integers(0, 255, (2, 20, 12, 3), np.uint8)
    images[..., 1] //= 3
    found = batches.prepared(images, how, (32, 16))
    assert found.shape == (2, 32, 16, 3)
    for channel in range(3):
        alone = batches.prepared(images[..., channel], how, (32, 16))[..., 0]
        np.testing.assert_array_equal(found[..., channel], alone)
