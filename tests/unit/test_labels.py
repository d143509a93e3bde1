import numpy as np
import pytest

from lumbarflow import DataError
from lumbarflow.data import labels
from lumbarflow.images import apta, class_masks


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


def test_a_stretched_slice_hides_its_vertebrae_and_fixed_greys_do_not():
    plane = np.array([[0, 3, 100, 203]], np.int16)
    np.testing.assert_array_equal(class_masks.render(plane, "slice"), [[0, 3, 125, 255]])
    without_disc = np.array([[0, 3, 100]])
    np.testing.assert_array_equal(
        class_masks.render(without_disc, "slice"), [[0, 7, 255]]
    )  # the canal is as white as a disc
    np.testing.assert_array_equal(class_masks.render(plane, "fixed"), [[0, 5, 135, 218]])
    with pytest.raises(DataError, match="stretch must be slice or fixed"):
        class_masks.render(plane, "volume")
    assert labels.hidden(plane) == labels.hidden(plane.astype(np.uint8)) == [3]
    assert labels.hidden(np.array([5, 20, 209], np.uint8)) == [5]  # 20 * 255 is beyond 8 bits
    assert labels.hidden(np.array([1, 9, 25])) == []


def test_fixed_greys_are_what_apta_reads_as_the_classes():
    plane = np.repeat(np.array([0, 1, 25, 101, 125, 100, 201, 225], np.int16), 8)[None].repeat(8, 0)
    np.testing.assert_array_equal(apta.repair(class_masks.render(plane, "fixed")), labels.lut(plane))


def test_the_colour_table_is_slicers_and_shows_every_label():
    lines = [line for line in labels.colour_table().splitlines() if not line.startswith("#")]
    table = {int(line.split()[0]): line.split()[1:] for line in lines}
    known = {number for numbers in labels.LABELS.values() for number in numbers}
    assert set(table) == {0, *known}
    assert len({name for name, *_ in table.values()}) == len(table)
    for number in known:
        *rgb, alpha = map(int, table[number][1:])
        assert alpha == 255
        assert max(rgb) > 100, number
        assert all(0 <= part <= 255 for part in rgb)
    for number in (*range(1, 25), *range(201, 225)):  # neighbours can be told apart
        assert table[number][1:] != table[number + 1][1:]
