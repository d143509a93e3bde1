import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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


def test_air_is_not_blown_up():
    air = np.random.default_rng(0).integers(0, 2, (1, 160, 128)).astype(np.uint8)
    assert np.abs(batches.normalise(air, "local")).max() < 0.3


def test_an_unknown_normalisation():
    with pytest.raises(DataError, match="normalisation: 'l2' is not known; known: column_l2, zscore, local"):
        batches.normalise(np.zeros((1, 4, 4)), "l2")
