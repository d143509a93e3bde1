"""One picture of a segmented scan: what was found, at a glance."""

import gc
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.patheffects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from ..data.labels import class_of
from ..images import slices
from ..measures.structures import CANAL_LABEL, FIRST_DISC
from .figures import COLOURS

MARGIN = 25.0  # mm of the picture around the structures
SHOWN = 6  # flags that have room below the pictures
OUTLINE = [matplotlib.patheffects.withStroke(linewidth=2.5, foreground="black")]


def draw(
    image: NDArray[np.generic],
    labels: NDArray[np.integer],
    spacing: Sequence[float],
    title: str,
    flags: Sequence[str] = (),
    names: Mapping[int, str] | None = None,
) -> Figure:
    """A sagittal section that follows the canal, and a coronal one that follows the bodies, with outlined structures
    and the numbers of vertebrae.

    image, labels: [slices, H, W] in canonical orientation; spacing: mm of its axes; flags: sentences that go below the
    pictures; names: {label: what to write on it} in place of the vertebra's number.
    """
    low, high = slices.windows(image, "volume", (0.5, 99.5))[0]
    across, depth = middle_line(labels, labels == CANAL_LABEL, 0), middle_line(labels, labels >= FIRST_DISC, 2)
    rows = np.arange(labels.shape[1])
    sections = {
        "sagittal,\nalong the canal": (image[across, rows], labels[across, rows], spacing[2]),
        "coronal,\nalong the bodies": (image[:, rows, depth].T, labels[:, rows, depth].T, spacing[0]),
    }
    boxes = [_around(mask, (spacing[1], mm)) for _, mask, mm in sections.values()]
    top, bottom = min(box[0].start for box in boxes), max(box[0].stop for box in boxes)
    widths = [(box[1].stop - box[1].start) * mm for box, (_, _, mm) in zip(boxes, sections.values(), strict=True)]
    ratios = [max(width, 0.3 * sum(widths)) for width in widths]
    figure, axes = plt.subplots(1, 2, figsize=(8, 6.4), width_ratios=ratios, layout="constrained")
    for axis, box, (heading, (picture, mask, mm)) in zip(axes, boxes, sections.items(), strict=True):
        part = slice(top, bottom), box[1]
        _paint(axis, slices.to_grey(picture[part], low, high), mask[part], (spacing[1], mm), names or {})
        axis.set_title(heading, fontsize=9)
    axes[0].text(0.02, 0.98, "front", transform=axes[0].transAxes, va="top", color="white", fontsize=8)
    axes[1].text(0.02, 0.98, "R", transform=axes[1].transAxes, va="top", color="white", fontsize=8)
    figure.suptitle(title, parse_math=False)
    said = [*flags[:SHOWN], *([f"and {len(flags) - SHOWN} more"] if len(flags) > SHOWN else [])]
    if said:
        figure.supxlabel(
            "Needs a look: " + "\n".join(said), fontsize=8, color="#B00020", ha="left", x=0.02, parse_math=False
        )
    return figure


def close(figure: Figure) -> None:
    """Free a drawn figure, of which matplotlib keeps a reference. Its parts refer to each other in circles, and hold
    its pictures until they are collected: 35 MiB of each scan of a folder."""
    plt.close(figure)
    gc.collect()


def middle_line(labels: NDArray[np.integer], chosen: NDArray[np.bool_], axis: int) -> NDArray[np.intp]:
    """For each row, the middle of the chosen voxels along an axis, 0 (slices) or 2 (columns).

    It is that of each chosen label, or of the rows of a single one, with straight lines between and beyond; the middle
    of the volume where nothing is chosen.
    """
    size, rows = labels.shape[axis], np.arange(labels.shape[1])
    numbers = np.unique(labels[chosen])
    if not len(numbers):
        return np.full(len(rows), size // 2)
    if len(numbers) == 1:
        amount = chosen.sum(2 - axis)
        amount = amount if axis == 0 else amount.T
        counts = amount.sum(0)
        at, middles = np.flatnonzero(counts), np.arange(size) @ amount[:, counts > 0] / counts[counts > 0]
    else:
        centres = np.array(ndimage.center_of_mass(chosen, labels, numbers))
        centres = centres[np.argsort(centres[:, 1])]
        at, middles = centres[:, 1], centres[:, axis]
    return np.clip(np.rint(np.interp(rows, at, middles)), 0, size - 1).astype(np.intp)


def _around(mask: NDArray[np.integer], mm: tuple[float, float]) -> tuple[slice, slice]:
    """The part of a section within MARGIN mm of its structures; all of it without any."""
    found = ndimage.find_objects((mask > 0).astype(np.uint8))
    if not found:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    ends = zip(found[0], mm, mask.shape, strict=True)
    rows, columns = (
        slice(max(side.start - round(MARGIN / step), 0), min(side.stop + round(MARGIN / step), size))
        for side, step, size in ends
    )
    return rows, columns


def _paint(
    axis: Axes, grey: NDArray[np.uint8], mask: NDArray[np.integer], mm: tuple[float, float], names: Mapping[int, str]
) -> None:
    """Show a section uint8 [H, W] of pixels of mm (row, column), each structure outlined and each vertebra numbered at
    the middle of its largest piece."""
    axis.imshow(grey, cmap="gray", vmin=0, vmax=255, aspect=mm[0] / mm[1])
    for number in np.unique(mask[mask > 0]):
        kind = class_of(number)
        inside = np.pad(mask == number, 1)
        axis.contour(
            *(np.arange(-1, length + 1) for length in mask.shape[::-1]),
            *(inside, [0.5]),
            colors=[COLOURS[kind]],
            linewidths=1.2,
        )
        if kind == "vertebrae":
            pieces, _ = ndimage.label(inside[1:-1, 1:-1])
            row, column = ndimage.center_of_mass(pieces == np.bincount(pieces[pieces > 0]).argmax())
            text = names.get(int(number), str(number))
            axis.text(column, row, text, color="white", weight="bold", ha="center", va="center", path_effects=OUTLINE)
    axis.set_axis_off()
