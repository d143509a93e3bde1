"""How much of a test set was seen in training, and how far copying gets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import DataError

# what a split by patients rules out; an equal mask may be chance
NONE_BY_PATIENT = ("neighbour within 1", "neighbour within 2", "same patient")


def shares(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shares of the test images that training knew something of: a dict of floats in 0-1 for each sequence, with
    its name and the count `test images`.

    rows: split rows. `neighbour within 1` / `2`: a training slice of the same volume is at most so
    far; `same mask`: a training image has byte for byte the same mask, and it is not empty; `same
    patient`. Raises DataError without test images.
    """
    train = [row for row in rows if row["subset"] == "train"]
    test = [row for row in rows if row["subset"] == "test"]
    if not test:
        raise DataError("the split has no test images")
    seen: dict[str, set[int]] = {}
    for row in train:
        seen.setdefault(row["volume"], set()).add(int(row["index"]))
    masks = {row["mask_sha256"] for row in train if int(row["classes"]) > 1}
    patients = {row["patient"] for row in train}

    def near(row: Mapping[str, Any], distance: int) -> bool:
        known = seen.get(row["volume"], ())
        return any(int(row["index"]) + step in known for step in range(-distance, distance + 1))

    def describe(sequence: str, test: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "sequence": sequence,
            "test images": len(test),
            "neighbour within 1": float(np.mean([near(row, 1) for row in test])),
            "neighbour within 2": float(np.mean([near(row, 2) for row in test])),
            "same mask": float(np.mean([row["mask_sha256"] in masks for row in test])),
            "same patient": float(np.mean([row["patient"] in patients for row in test])),
        }

    sequences = dict.fromkeys(row["sequence"] for row in test)
    return [describe(name, [row for row in test if row["sequence"] == name]) for name in sequences]


def nearest(
    row: Mapping[str, Any], image: NDArray[np.uint8], train: Sequence[Mapping[str, Any]], images: NDArray[np.uint8]
) -> int:
    """Index into `train` of the image whose mask a predictor without any learning would copy.

    The nearest slice of the same volume; where training has none of it, the most similar picture
    (mean squared difference of images uint8 [N, H, W], each scaled to mean 0 and deviation 1).
    """
    same = [k for k, other in enumerate(train) if other["volume"] == row["volume"]]
    if same:
        return min(same, key=lambda k: abs(int(train[k]["index"]) - int(row["index"])))

    def scaled(array: NDArray[Any]) -> NDArray[np.float32]:
        array = np.asarray(array, np.float32).reshape(len(array), -1)
        array = array - array.mean(1, keepdims=True)
        return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-6)

    return int(np.argmax(scaled(images) @ scaled(image[None])[0]))
