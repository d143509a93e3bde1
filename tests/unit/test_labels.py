import numpy as np
import pytest

from lumbarflow import labels


def test_every_defined_label():
    numbers = np.array([0, 1, 9, 25, 100, 101, 125, 201, 225], np.uint8)
    np.testing.assert_array_equal(labels.lut(numbers), [0, 1, 1, 1, 2, 1, 1, 3, 3])
    assert labels.lut(numbers).dtype == np.uint8


def test_whole_numbers_stored_as_floats_are_taken():
    np.testing.assert_array_equal(labels.lut(np.array([0.0, 100.0])), [0, 2])
    with pytest.raises(ValueError, match="whole numbers"):
        labels.lut(np.array([0.5]))


def test_unknown_labels_are_named_with_their_counts():
    with pytest.raises(ValueError, match=r"-1 \(1 voxels\), 26 \(2 voxels\), 300 \(1 voxels\)"):
        labels.lut(np.array([0, 26, 26, 300, -1, 5]))
