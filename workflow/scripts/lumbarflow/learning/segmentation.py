"""Apply one trained network to the slices of whole volumes, and write its predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES
from ..data import writing
from ..data.geometry import Geometry
from ..images import png, weights
from . import batches, decision, networks, prediction
from .decision import Decision, Opinion

if TYPE_CHECKING:
    import keras

Row = Mapping[str, str]
# columns of the split that predictions.csv repeats
KEPT = ("volume", "patient", "sequence", "index", "position", "mask_sha256")


def by_volume(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """{volume: its rows}, in the order of the split."""
    return {volume: list(group) for volume, group in groupby(rows, key=lambda row: row["volume"])}


def tested(groups: Mapping[str, list[Row]], kind: str) -> dict[str, list[Row]]:
    """The volumes with test images; in a split of slices only these images, because training uses the others."""
    found = {}
    for volume, group in groups.items():
        test = [row for row in group if row["subset"] == "test"]
        if test:
            found[volume] = test if kind == "slice" else group
    return found


def by_index(group: Sequence[Row], table: Sequence[Row]) -> list[Row]:
    """The rows of a volume's slice table that belong to split rows, one for each."""
    of_index = {row["index"]: row for row in table}
    return [of_index[row["index"]] for row in group]


def _spacing(source: Sequence[Row]) -> Sequence[float]:
    """mm across slices, rows and columns, of the volume of these rows of a slice table."""
    return Geometry(**json.loads(source[0]["geometry"])).canonical_spacing()


@dataclass(frozen=True)
class Segmenter:
    """A network with the settings that it was trained with, and the slices and class masks that it is applied to.

    canvas_size: [H, W] of the slices; slice_folder, label_folder: folders of the recipes, with one folder per volume;
    views: source planes are predicted from views x views grids, shifted by less than a pixel; smoothing: mm across
    slices over which their probabilities are averaged (standard deviation of a Gaussian).
    """

    model: keras.Model
    settings: Mapping[str, Any]
    canvas_size: Sequence[int]
    slice_folder: Path
    label_folder: Path
    views: int = field(default=1, kw_only=True)
    smoothing: float = field(default=0.0, kw_only=True)

    @property
    def grid(self) -> tuple[Sequence[int], str]:
        """Size [H, W] of the network's input, and how slices are resized to it."""
        return self.settings["network"]["image_size"], self.settings["network"]["resize"]

    @property
    def neighbours(self) -> int:
        """Slices on each side that the network also sees; then groups of rows hold all slices of a volume."""
        return networks.neighbours(self.settings["network"])

    def segment(self, group: Sequence[Row]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Class probabilities [N, H, W, 4] and true classes [N, H, W] of split rows, on the network grid."""
        images = batches.load_images(group, self.slice_folder, *self.grid, self.neighbours, group)
        truths = batches.load_masks(group, self.label_folder, *self.grid)
        return prediction.probabilities(self.model, images, self.settings["normalisation"]), truths

    def on_source(
        self, group: Sequence[Row], source: Sequence[Row], known: NDArray[np.float32] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Class probabilities [H, W, 4] on each source plane: the mean of the predictions on all views, smoothed across
        planes. source: rows of the slice table, one for each row of the split; known: what `segment` said, if it was
        asked, which is the prediction where there is one view. Plane by plane, since those of a whole volume take
        gigabytes."""
        return prediction.smooth(self._planes(group, source, known), self.smoothing / _spacing(source)[0])

    def _planes(
        self, group: Sequence[Row], source: Sequence[Row], known: NDArray[np.float32] | None
    ) -> Iterator[NDArray[np.float32]]:
        """on_source, before it is smoothed."""
        offsets = prediction.offsets(self.views)
        for start in range(0, len(group), batches.PLANES):
            part = slice(start, start + batches.PLANES)
            if self.views == 1 and known is not None:
                said = [known[part]]
            else:
                pictures = (
                    prediction.load_view(group[part], self.slice_folder, *self.grid, each, self.neighbours, group)
                    for each in offsets
                )
                said = [prediction.probabilities(self.model, p, self.settings["normalisation"]) for p in pictures]
            for number, row in enumerate(source[part]):
                yield prediction.mean(
                    prediction.on_source(p[number], row, self.canvas_size, offset)
                    for p, offset in zip(said, offsets, strict=True)
                )

    def validate(self, group: Sequence[Row], table: Sequence[Row]) -> Opinion | None:
        """What the network says of a validation volume on its source planes, where test volumes are decided; None for
        other volumes. table: as in `write`."""
        if not any(row["subset"] == "validation" for row in group):
            return None
        source = by_index(group, table)
        truths = [
            prediction.on_source(np.eye(len(CLASSES), dtype=np.float32)[mask], row, self.canvas_size).argmax(-1)
            for mask, row in zip(batches.read_masks(group, self.label_folder), source, strict=True)
        ]
        planes = self.on_source(group, source)
        return Opinion.of(planes, np.array(truths, np.uint8), _spacing(source), group[0]["patient"])

    def write(
        self,
        group: Sequence[Row],
        table: Sequence[Row],
        decided: Decision,
        pictures: Path,
        whole: Path | None,
    ) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
        """Segment split rows of one volume; write class masks on the network grid into the folder `pictures` and, on
        the source grid, the whole volume into the folder `whole`, or else single planes; return rows of
        predictions.csv, in which `entropy` is that of the whole volume, and decision.reliability of the scored rows.

        table: the volume's slice table; decided: how classes follow from probabilities.
        """
        p, truths = self.segment(group)
        rows = self.write_pictures(group, p, truths, pictures)
        scored = np.array([row["scored"] for row in rows])
        reliability = decision.reliability(p[scored], truths[scored])
        source = by_index(group, table)
        if whole:
            path = whole / f"{group[0]['volume']}.mha"
            entropy, digest = self.write_volume(group, p, source, decided, path)
            return [{**row, "volume_sha256": digest, "entropy": entropy} for row in rows], reliability
        digests = self.write_planes(group, p, source, pictures / "plane")
        return [{**row, "plane_sha256": digest} for row, digest in zip(rows, digests, strict=True)], reliability

    def write_pictures(
        self, group: Sequence[Row], p: NDArray[np.float32], truths: NDArray[np.uint8], folder: Path
    ) -> list[dict[str, Any]]:
        """Write class masks (arg-max, and p > 0.5) of split rows as PNG; return their rows of predictions.csv.
        p, truths: from `segment`."""
        rows = []
        for row, probability, truth in zip(group, p, truths, strict=True):
            entry: dict[str, Any] = {key: row[key] for key in KEPT}
            entry |= {"scored": row["subset"] == "test", "plane_sha256": "", "volume_sha256": ""}
            for kind, decide in (("classes", decision.decide), ("half", decision.decide_half)):
                path = png.slice_path(folder / kind, row)
                entry[f"{kind}_sha256"] = png.write(path, decide(probability))
            for name, sums in weights.soft_sums(probability, truth).items():
                entry |= {f"{name}_{k}": value for k, value in zip(CLASSES, sums, strict=True)}
            rows.append(entry)
        return rows

    def write_planes(
        self, group: Sequence[Row], p: NDArray[np.float32], source: Sequence[Row], folder: Path
    ) -> list[str]:
        """Write the class masks of single slices on their source planes as PNG; return the SHA-256 of each. Arguments
        as of write_volume."""
        planes = self.on_source(group, source, p)
        paths = [png.slice_path(folder, row) for row in group]
        return [png.write(path, decision.decide(q)) for path, q in zip(paths, planes, strict=True)]

    def write_volume(
        self,
        group: Sequence[Row],
        p: NDArray[np.float32],
        source: Sequence[Row],
        decided: Decision,
        path: Path,
    ) -> tuple[float, str]:
        """Write the class masks of a whole volume, as `decided`, on its stored grid; return the mean entropy (nats)
        where structures are, and the file's SHA-256. source: rows of the slice table, one for each row of the split;
        p: from `segment`."""
        planes, doubt = [], np.zeros(2)
        for q in self.on_source(group, source, p):
            planes.append(decided.decide(q))
            doubt += prediction.doubt(q)
        geometry = Geometry(**json.loads(source[0]["geometry"]))
        digest = writing.write(path, decided.clean(np.stack(planes), _spacing(source)), geometry)
        return float(doubt[0] / max(doubt[1], 1)), digest
