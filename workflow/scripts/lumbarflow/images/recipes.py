"""Label recipes: how a plane of labels becomes a class mask on the slices' canvas.

A recipe is a function (labels [H, W], classes uint8 [H, W], Placement, canvas size [H, W], options...) -> classes uint8
on the canvas, registered with the options that the config may set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..registry import Registry, option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from . import slices  # at run time in the recipes: Snakemake reads this registry, without NumPy

RECIPES = Registry("labels.method")
APTA = {
    "version": option(
        "released",
        "of `apta`: `released`, the authors' program pixel for pixel; `literal`, the paper's box where it says "
        "something else (`workflow/scripts/lumbarflow/images/apta.py` lists each reading)",
        enum=["released", "literal"],
    ),
    "stretch": option(
        "slice",
        "of `apta`: greys from the least to the highest label of each `slice` (released), or `fixed` ones, one a class",
        enum=["slice", "fixed"],
    ),
    "resize": option(
        "linear",
        "of `apta`: how the grey mask is resized: `linear` (released) leaves rims of wrong classes around discs; "
        "`nearest` does not",
        enum=["linear", "nearest"],
    ),
}


@RECIPES.register("apta", APTA)
def apta(
    labels: NDArray[np.integer],
    classes: NDArray[np.uint8],
    place: slices.Placement,
    size: Sequence[int],
    version: str,
    stretch: str,
    resize: str,
) -> NDArray[np.uint8]:
    """The paper's repair of the mask's grey picture."""
    from . import class_masks, slices
    from .apta import repair

    return repair(slices.to_canvas(class_masks.render(labels, stretch), place, size, resize), version)


@RECIPES.register("lut")
def lut(
    labels: NDArray[np.integer], classes: NDArray[np.uint8], place: slices.Placement, size: Sequence[int]
) -> NDArray[np.uint8]:
    """Exact lookup, nearest neighbour."""
    from . import slices

    return slices.to_canvas(classes, place, size, "nearest")


def make(
    recipe: dict[str, Any],
    labels: NDArray[np.integer],
    classes: NDArray[np.uint8],
    place: slices.Placement,
    size: Sequence[int],
) -> NDArray[np.uint8]:
    """The class mask of a plane. recipe: one of the config, with its `method` and options. Raises DataError."""
    options = {key: value for key, value in recipe.items() if key != "method"}
    return RECIPES.get(recipe["method"])(labels, classes, place, size, **options)
