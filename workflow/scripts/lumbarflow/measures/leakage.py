"""How much of a test set is known from training, and which training mask a copying baseline takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import DataError

# shares that are 0 in a split by patients; `same mask` may be above 0 by chance
NONE_BY_PATIENT = ("neighbour within 1", "neighbour within 2", "same patient")


def shares(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shares of the test images that are partly known from training: for each sequence a dict of floats in 0-1, with
    its name and the count `test images`.

    rows: split rows. `neighbour within 1` / `2`: a training slice of the same volume is at most 1 / 2
    slices away; `same mask`: a training image has the same mask, byte for byte, and the mask is not
    empty; `same patient`: a training image is of the same patient. Raises DataError without test images.
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


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each of the images [N, H, W] scaled to mean 0 and length 1, as float32 [N, H * W]: products are correlations."""
    array = np.asarray(images, np.float32).reshape(len(images), -1)
    array = array - array.mean(1, keepdims=True)
    return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-6)


def nearest(
    row: Mapping[str, Any], image: NDArray[np.float32], train: Sequence[Mapping[str, Any]], images: NDArray[np.float32]
) -> int:
    """Index into `train` of the image whose mask the copying baseline, which learns nothing, takes.

    It is the nearest slice of the same volume; if training has none of this volume, the most similar
    image, by the correlation of grey values. image: of the test [H * W]; images: of training [N, H * W], both from
    `scaled`, once for all.
    """
    same = [k for k, other in enumerate(train) if other["volume"] == row["volume"]]
    if same:
        return min(same, key=lambda k: abs(int(train[k]["index"]) - int(row["index"])))
    return int(np.argmax(images @ image))
