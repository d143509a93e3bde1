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
    """Render a plane of integer labels [H, W] as a uint8 grey picture, the input of APTA.

    stretch `slice`: the lowest label of the plane becomes 0 and the highest 255, as released, so the same
    label has another grey in each slice; `fixed`: one grey per class, the same in all planes.
    """
    if stretch == "slice":
        return to_grey(plane, plane.min(), plane.max())
    if stretch == "fixed":
        return FIXED_GREYS[lut(plane)]
    raise DataError(f"labels: stretch must be slice or fixed, not {stretch!r}")
