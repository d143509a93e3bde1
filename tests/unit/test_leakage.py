import numpy as np
import pytest

from lumbarflow import DataError
from lumbarflow.measures import leakage


def row(volume, index, subset, mask="m", classes=4):
    patient = volume.partition("_")[0]
    names = ("volume", "patient", "sequence", "index", "subset", "mask_sha256", "classes")
    sequence = volume.partition("_")[2]
    return dict(zip(names, (volume, patient, sequence, str(index), subset, mask, str(classes)), strict=True))


def test_shares_by_hand():
    rows = [
        *(row("1_t2", 4, "train", "a"), row("1_t2", 5, "test", "b"), row("1_t2", 6, "test", "c")),
        *(row("1_t2", 9, "test", "a"), row("2_t2", 4, "test", "d"), row("3_t2", 1, "train", "e", 1)),
        row("4_t2", 1, "test", "e", 1),  # both empty: no leak
    ]
    [shares] = leakage.shares(rows)
    assert shares == {
        "sequence": "t2",
        "test images": 5,
        "neighbour within 1": 1 / 5,
        "neighbour within 2": 2 / 5,
        "same mask": 1 / 5,
        "same patient": 3 / 5,
    }
    both = leakage.shares([*rows, row("1_t1", 4, "test", "a")])  # the same patient's other series
    assert [(each["sequence"], each["test images"]) for each in both] == [("t2", 5), ("t1", 1)]
    assert (both[1]["same mask"], both[1]["neighbour within 2"], both[1]["same patient"]) == (1, 0, 1)
    with pytest.raises(DataError, match="no test images"):
        leakage.shares(rows[:1])


def test_the_nearest_is_of_the_same_volume_if_there_is_one_and_else_the_most_alike():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 8, 8)).astype(np.uint8)
    train = [row("1_t2", 2, "train"), row("1_t2", 7, "train"), row("2_t2", 6, "train")]
    brighter = (images[2] // 2 + 90).astype(np.uint8)  # alike but for brightness and contrast
    known, (same, alike) = leakage.scaled(images), leakage.scaled(np.stack([images[2], brighter]))
    assert leakage.nearest(row("1_t2", 6, "test"), same, train, known) == 1
    assert leakage.nearest(row("3_t2", 6, "test"), alike, train, known) == 2
