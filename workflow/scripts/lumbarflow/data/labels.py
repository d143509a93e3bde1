"""SPIDER's label numbers and the four classes that they belong to."""

import colorsys
from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import CLASSES, DataError

# SPIDER: vertebrae 1-25 from the lowest up, partly visible ones 101-125, canal 100, discs 201-225
LABELS = {
    "vertebrae": (*range(1, 26), *range(101, 126)),
    "spinal_canal": (100,),
    "ivd": tuple(range(201, 226)),
}


def lut(label_volume: ArrayLike) -> NDArray[np.uint8]:
    """Exact classes of SPIDER labels: an integer array of any shape -> uint8 classes 0-3.

    Raises DataError (a ValueError) naming every label outside 0-25, 100-125 and 201-225 with its count.
    """
    label_volume = np.asarray(label_volume)
    if not np.issubdtype(label_volume.dtype, np.integer):
        whole = label_volume.astype(np.int32)
        if not np.array_equal(whole, label_volume):
            raise DataError("the mask holds values that are not whole numbers; expected SPIDER labels")
        label_volume = whole
    table = np.full(256, 255, np.uint8)
    table[0] = 0
    for name, numbers in LABELS.items():
        table[list(numbers)] = CLASSES.index(name)
    inside = (label_volume >= 0) & (label_volume < 256)
    classes = table[np.where(inside, label_volume, 255)]
    if (classes == 255).any():
        unknown, counts = np.unique(label_volume[classes == 255], return_counts=True)
        found = ", ".join(f"{number} ({count} voxels)" for number, count in zip(unknown, counts, strict=True))
        raise DataError(f"unknown labels {found}; SPIDER's are 0-25, 100-125 and 201-225")
    return classes


def class_of(number: int) -> str:
    """The class of a SPIDER label above 0."""
    return "spinal_canal" if number == 100 else "ivd" if number > 200 else "vertebrae"


def called(number: int) -> str:
    """What a person reads for a SPIDER label above 0: vertebra 3, disc 203, spinal canal."""
    kind = class_of(number)
    return {"vertebrae": f"vertebra {number}", "ivd": f"disc {number}"}.get(kind, "spinal canal")


def hidden(label_volume: NDArray[np.integer], vertebrae: Collection[int] = LABELS["vertebrae"]) -> list[int]:
    """Labels of vertebrae that a viewer shows as black: a grey of 10 or less where the highest label is white.

    label_volume: integers of any shape; vertebrae: labels of vertebrae, SPIDER's if none are given.
    """
    found = np.unique(label_volume)
    return [int(label) for label in found if label in vertebrae and int(label) * 255 / int(found.max()) <= 10]


def colour_table() -> str:
    """Text of a 3D Slicer colour table (.ctbl) for SPIDER's labels, in which every structure can be seen.

    Hue shows the kind (vertebrae orange, canal blue, discs purple); lightness separates neighbours.
    """
    lines = ["# Color table file lumbarflow_spider", f"# {1 + sum(map(len, LABELS.values()))} values"]
    lines.append("0 background 0 0 0 0")
    names = {"vertebrae": ("vertebra", 0.10), "spinal_canal": ("spinal_canal", 0.56), "ivd": ("disc", 0.88)}
    for kind, numbers in LABELS.items():
        name, hue = names[kind]
        for number in numbers:
            rgb = colorsys.hls_to_rgb(hue, (0.45, 0.6, 0.75)[number % 3], 0.9)
            short = name if kind == "spinal_canal" else f"{name}_{number % 100}"
            short += "_partial" if 100 < number < 126 else ""
            lines.append(f"{number} {short} " + " ".join(str(round(255 * part)) for part in rgb) + " 255")
    return "\n".join(lines) + "\n"
