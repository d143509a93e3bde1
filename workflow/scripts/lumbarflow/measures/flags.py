"""Which segmentations a person should look at, and why. A flag is no verdict: without it, a result can be wrong too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..data.labels import called
from .structures import CANAL_LABEL, FIRST_DISC

FEWEST = 4  # levels that a lumbar scan shows at least
JUMP = 1.6  # of the median distance between neighbouring discs
FRAGMENT = 0.05  # of a structure: larger pieces apart from its main one are told
BEYOND = 0.1  # how far outside of the range of the training, as a share of its ends, a scan may lie
AGREE = 0.85  # Dice between the masks of two folds, mean over the classes
AXES = ("slice", "row", "column")


@dataclass(frozen=True)
class Flag:
    """kind: one of few words, to sort by; reason: a sentence with what was found and what was expected."""

    kind: str
    reason: str


def of_training(
    spacing: Sequence[float],
    shape: Sequence[int],
    grey: tuple[float, float],
    trained_on: Mapping[str, Mapping[str, Sequence[float]]],
) -> Iterator[Flag]:
    """A scan unlike those of the training. spacing (mm) and shape of the canonical axes; grey: mean and standard
    deviation of its pictures (0 to 255); trained_on: {spacing_mm, extent_mm: {slice, row, column}, grey: {mean,
    spread}} of the training's volumes, each [least, most]."""
    values = {"spacing_mm": spacing, "extent_mm": np.multiply(spacing, shape)}
    told = {"spacing_mm": "from {axis} to {axis}", "extent_mm": "from the first {axis} to the last"}
    for name, found in values.items():
        for axis, value in zip(AXES, found, strict=True):
            least, most = trained_on[name][axis]
            if not least * (1 - BEYOND) <= value <= most * (1 + BEYOND):
                what = told[name].format(axis=axis)
                usual = f"{least:.3g} mm" if f"{least:.3g}" == f"{most:.3g}" else f"{least:.3g} to {most:.3g} mm"
                yield Flag("unlike training", f"{value:.3g} mm {what}; in training {usual}")
    for (name, (least, most)), value in zip(trained_on["grey"].items(), grey, strict=True):
        if not least * (1 - BEYOND) <= value <= most * (1 + BEYOND):
            yield Flag("unlike training", f"{name} of its greys {value:.0f}; in training {least:.0f} to {most:.0f}")


def of_sequence(sequence: str, known: Sequence[str]) -> Iterator[Flag]:
    """A sequence that the model has not seen. sequence: as a sheet or the scan's name tells it, or empty."""
    if sequence and known and sequence not in known:
        yield Flag("unlike training", f"its sequence is called {sequence}; the model has seen {', '.join(known)} alone")


def of_levels(labels: NDArray[np.integer], spacing: Sequence[float]) -> Iterator[Flag]:
    """Too few levels, vertebrae and discs that do not alternate, and a gap as of a missed disc. labels: SPIDER's, in
    canonical orientation [slices, H, W]; spacing in mm."""
    numbers = np.unique(labels[labels > 0])
    discs, vertebrae = numbers[numbers >= FIRST_DISC], numbers[numbers < CANAL_LABEL]
    if not len(numbers):
        yield Flag("empty", "nothing was found")
        return
    for kind, found in (("vertebrae", vertebrae), ("discs", discs)):
        if len(found) < FEWEST:
            yield Flag("few levels", f"{len(found)} {kind}; a lumbar scan shows at least {FEWEST}")
    if CANAL_LABEL not in numbers:
        yield Flag("no canal", "no spinal canal was found")
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, discs)).reshape(-1, 3) * spacing
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    for (below, above), step in zip(pairwise(discs), steps, strict=True):
        if step > JUMP * np.median(steps):
            yield Flag(
                "gap",
                f"{step:.0f} mm from disc {below} to disc {above}, usual here {np.median(steps):.0f}: one missed?",
            )
    yield from _order(labels, spacing, vertebrae, centres, discs)


def _order(
    labels: NDArray[np.integer],
    spacing: Sequence[float],
    vertebrae: NDArray[np.integer],
    centres: NDArray[np.float64],
    discs: NDArray[np.integer],
) -> Iterator[Flag]:
    """Two neighbouring discs without a vertebra between them: no vertebra has voxels near the middle of the line from
    one to the other."""
    for (below, above), (start, end) in zip(pairwise(discs), pairwise(centres), strict=True):
        way = start + np.linspace(0.3, 0.7, 9)[:, None] * (end - start)
        index = np.rint(way / spacing).astype(int)
        index = index[((index >= 0) & (index < labels.shape)).all(1)]
        if not np.isin(labels[tuple(index.T)], vertebrae).any():
            yield Flag("order", f"no vertebra between disc {below} and disc {above}")


def of_fragments(labels: NDArray[np.integer]) -> Iterator[Flag]:
    """Structures in several large pieces; of a vertebra, only what lies in front of the canal counts, since narrow
    scans show no pedicles. labels: [slices, H, W] in canonical orientation."""
    canal = labels == CANAL_LABEL
    columns = np.arange(labels.shape[2])
    amount = canal.sum((0, 2))
    rows = np.flatnonzero(amount)
    middle = (canal.sum(0) @ columns)[rows] / amount[rows]
    middle = np.interp(np.arange(labels.shape[1]), rows, middle) if len(rows) else np.full(labels.shape[1], np.inf)
    ahead = columns < middle[:, None]
    boxes = ndimage.find_objects(labels.astype(np.int32))
    for number, box in enumerate(boxes, 1):
        if box is None:
            continue
        shown = labels[box] == number
        if number < CANAL_LABEL:
            shown &= ahead[box[1:]]
        pieces, count = ndimage.label(shown, np.ones((3, 3, 3)))
        if count > 1:
            sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
            large = int((sizes > FRAGMENT * sizes.sum()).sum())
            if large > 1:
                yield Flag(
                    "fragments", f"{called(number)} in {large} pieces, the largest {sizes[0] / sizes.sum():.0%} of it"
                )


def of_border(rows: Sequence[Mapping[str, Any]]) -> Iterator[Flag]:
    """Bodies and discs that the border cuts above, below, in front or behind. rows: of morphometry.measure."""
    for row in rows:
        if "cut by" in row["remark"]:
            yield Flag("border", f"{called(row['label'])}: {row['remark']}")


def of_doubt(entropy: float, highest: float) -> Iterator[Flag]:
    """Networks less sure than of any patient that they were scored on. entropy: mean (nats) where structures are;
    highest: of those patients."""
    if entropy > highest:
        reason = (
            f"less sure than on any patient that it was tested on: entropy {entropy:.3f} nats where structures are, "
            f"there at most {highest:.3f}"
        )
        yield Flag("unsure", reason)


def of_folds(dice: float) -> Iterator[Flag]:
    """Folds that disagree. dice: lowest mean Dice between two folds' masks, NaN with one fold."""
    if dice < AGREE:
        yield Flag("folds disagree", f"Dice {dice:.2f} between the masks of two folds; usual above {AGREE}")
