"""Predictions of another program, in the place of a network's."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, FOREGROUND
from ..images import slices
from . import batches
from .segmentation import Row, Segmenter

UNLIKE = 0.1  # Dice with the truth below which a prediction is hardly of this scan


@dataclass(frozen=True)
class Imported(Segmenter):
    """What a Segmenter writes of a network, of class volumes: probabilities are 0 or 1.

    volumes: {volume: classes [slices, H, W] on its source grid}; tables: {volume: rows of its slice table}.
    """

    volumes: Mapping[str, NDArray[np.uint8]]
    tables: Mapping[str, Sequence[Row]]

    def segment(self, group: Sequence[Row]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """As of a Segmenter; classes reach the network grid as the exact ones do, by way of the slices' canvas."""
        truths = batches.load_masks(group, self.label_folder, *self.grid)
        volume = group[0]["volume"]
        rows = {row["index"]: row for row in self.tables[volume]}
        found = np.empty_like(truths)
        for picture, row in zip(found, group, strict=True):
            place, plane = slices.Placement.of(rows[row["index"]]), self.volumes[volume][int(row["index"])]
            canvas = slices.to_canvas(plane, place, self.canvas_size, "nearest")
            picture[:] = slices.resize_classes(canvas, *self.grid)
        return _certain(found), truths

    def on_source(
        self, group: Sequence[Row], source: Sequence[Row], known: NDArray[np.float32] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """As of a Segmenter: the planes themselves."""
        return (_certain(self.volumes[row["volume"]][int(row["index"])]) for row in group)


def _certain(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.eye(len(CLASSES), dtype=np.float32)[classes]


def warn(rows: Sequence[Mapping[str, Any]], path: str) -> None:
    """Say in the log if a predicted volume has next to nothing in common with the truth. rows: of predictions.csv."""
    sums = {
        key: sum(float(row[f"{key}_{k}"]) for row in rows for k in FOREGROUND)
        for key in ("soft_overlap", "soft_pred", "soft_truth")
    }
    dice = 2 * sums["soft_overlap"] / max(sums["soft_pred"] + sums["soft_truth"], 1)
    if dice < UNLIKE:
        logging.getLogger(__name__).warning(
            "%s: Dice with the truth %.2f; it may be of another scan or patient, or lie mirrored or turned", path, dice
        )
