import numpy as np
import pytest

from lumbarflow import networks


def test_the_papers_network_has_its_parameters():
    model = networks.build("paper", (256, 256))
    assert model.count_params() == 8_037_076
    assert model.output_shape == (None, 256, 256, 4)


@pytest.mark.parametrize("size", [(16, 16), (48, 80), (160, 128)])
def test_any_size_divisible_by_16(size):
    model = networks.build("paper", size, width=2)
    p = model.predict_on_batch(np.random.default_rng(0).random((2, *size, 1)))
    assert p.shape == (2, *size, 4)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)


def test_other_sizes_and_names_are_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        networks.build("paper", (100, 96))
    with pytest.raises(ValueError, match="known: paper"):
        networks.build("papre", (96, 96))
