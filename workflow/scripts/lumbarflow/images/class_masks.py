"""Labels and classes as pictures: the greys that APTA works on, the paper's colours."""

import numpy as np
from numpy.typing import NDArray

from .. import DataError
from ..data.labels import lut
from .slices import to_grey

# greys in the middle of the ranges that APTA reads as red, green and blue
FIXED_GREYS = np.array([0, 5, 135, 218], np.uint8)
# APTA's colours (paper, Figure 2b) and their greys by the usual luma weights (Figure 2c)
COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
GREYS = np.array([0, 76, 150, 29], np.uint8)


def render(plane: NDArray[np.integer], stretch: str) -> NDArray[np.uint8]:
    """A plane of integer labels [H, W] as a uint8 grey picture, which is what APTA works on.

    stretch `slice`: from the least to the highest label of the plane, as released, so that one label
    has another grey in every slice; `fixed`: one grey for each class, whatever else is in the plane.
    """
    if stretch == "slice":
        return to_grey(plane, plane.min(), plane.max())
    if stretch == "fixed":
        return FIXED_GREYS[lut(plane)]
    raise DataError(f"labels: stretch must be slice or fixed, not {stretch!r}")
