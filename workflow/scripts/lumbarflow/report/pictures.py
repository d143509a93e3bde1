"""Read slices, masks and predictions for the figures, and write their captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import FOREGROUND, files
from ..data import labels, masks
from ..images import class_masks, png, slices
from ..learning import batches
from . import audit, figures

Row = Mapping[str, str]
Tile = tuple[str, NDArray[np.uint8]]
Example = tuple[str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
SHOWN = 4  # number of images in a line, and of worst slices of a repair
EXTREMES = 10  # number of worst, and of best, slices of a network


def imbalance(row: Row) -> float:
    return float(row["imbalance_ratio"])


def spread(rows: Sequence[Row], key: Callable[[Row], float]) -> list[Row]:
    """At most SHOWN of the rows, evenly spaced in their order by `key`."""
    ranked = sorted(rows, key=key)
    count = min(SHOWN, len(ranked))
    return [ranked[round(k * (len(ranked) - 1) / max(count - 1, 1))] for k in range(count)]


def restored(
    row: Row, slice_folder: Path, label_folder: Path, source: Mapping[str, Any], canvas_size: Sequence[int]
) -> list[Tile]:
    """Tiles of Figures 1 and 2: a slice, its mask as stored, and as classes.

    row: of a manifest; slice_folder, label_folder: those of the recipes; source: arguments of masks.read for the
    volume's mask.
    """
    place = slices.Placement.of(files.read_csv(slice_folder / f"{row['volume']}.csv")[0])
    stored = masks.read(**source).array[int(row["index"])]
    grey = slices.to_canvas(class_masks.render(stored, "slice"), place, canvas_size, "nearest")
    image, mask = png.read(png.slice_path(slice_folder, row)), png.read(png.slice_path(label_folder, row))
    before = f"{len(np.unique(stored))} values, {len(labels.hidden(stored))} vertebrae all but black"
    return [
        ("the image", image),
        (f"1a, 2a: the stored mask as a grey picture:\n{before}", grey),
        (f"1b, 2b: {len(np.unique(mask))} classes in the paper's colours", class_masks.COLOURS[mask]),
        ("2c: the greys of these", class_masks.GREYS[mask]),
    ]


def filtered(rows: Sequence[Row], slice_folder: Path, label_folder: Path) -> list[tuple[str, list[Tile]]]:
    """Lines of Figures 3 to 6: images that a filter drops for too few classes or imbalance, and those it keeps.

    rows: of a manifest; slice_folder, label_folder: those of the recipes.
    """
    kept = [row for row in rows if row["kept"] == "true"]
    few = [row for row in rows if row["reason"].startswith("fewer")]
    unbalanced = [row for row in rows if row["reason"] and not row["reason"].startswith(("fewer", "beyond"))]
    lines = [
        (f"Figure 3: {len(few)} with too few classes", spread(few, lambda row: int(row["classes"]))),
        (f"Figure 5: {len(unbalanced)} dropped for their imbalance", spread(unbalanced, imbalance)),
        (f"Figures 4, 6: {len(kept)} kept", spread(kept, imbalance)),
    ]
    return [(heading, [_tile(row, slice_folder, label_folder) for row in shown]) for heading, shown in lines]


def _tile(row: Row, slice_folder: Path, label_folder: Path) -> Tile:
    caption = f"{row['volume']}, slice {row['index']}\n{row['classes']} classes, ratio {imbalance(row):.0f}"
    image, mask = (png.read(png.slice_path(folder, row)) for folder in (slice_folder, label_folder))
    return caption, figures.tint(image, mask)


def repaired(
    frame: pd.DataFrame, sources: Mapping[str, Mapping[str, Any]], recipe: Mapping[str, str], canvas_size: Sequence[int]
) -> list[Example]:
    """(caption, grey mask, exact classes, repaired classes) of the slices in which a repair changes the canal most.

    frame: rows of audit.compare_masks; sources: {volume: arguments of masks.read}; recipe: that of the labels.
    """
    # the canal has the lowest Dice; for equal Dice, slices with a larger canal come first
    ranked = frame.assign(dice=audit.slice_dice(frame, "spinal_canal")).dropna(subset="dice")
    ranked = ranked.sort_values(["dice", "exact_spinal_canal"], ascending=[True, False], kind="stable")
    examples = []
    shown: list[dict[Any, Any]] = ranked.head(SHOWN).to_dict("records")
    for row in shown:
        mask = masks.read(**sources[row["volume"]])
        grey = class_masks.render(mask.array[int(row["index"])], recipe["stretch"])
        grey = slices.to_canvas(grey, slices.Placement.of(row), canvas_size, recipe["resize"])
        caption = f"{row['volume']}, slice {row['index']}: canal Dice {row['dice']:.3f}"
        examples.append((caption, grey, png.read(row["exact"]), png.read(row["repaired"])))
    return examples


def vanished(frame: pd.DataFrame) -> dict[str, int]:
    """{class: number of slices that lose it} of audit.compare_masks' rows."""
    lost = {name: (frame[f"exact_{name}"] > 0) & (frame[f"repaired_{name}"] == 0) for name in FOREGROUND}
    return {name: int(gone.sum()) for name, gone in lost.items()}


def rank(images: pd.DataFrame) -> list[tuple[str, int, float]]:
    """(volume, index, macro Dice) of every test image that shows a structure, the worst first. images: metrics.csv."""
    shown = images[(images["grid"] == "network") & (images["class"] != "background")]
    ranked = shown.groupby(["volume", "index"])["dice"].mean().dropna().sort_values(kind="stable")
    places: Any = ranked.index
    return [(volume, int(index), float(dice)) for (volume, index), dice in zip(places, ranked, strict=True)]


def places(number: int) -> dict[str, int]:
    """{name: position} of what to show of a ranking of `number` images."""
    return {"worst": 0, "lower quartile": (number - 1) // 4, "median": (number - 1) // 2, "best": number - 1}


@dataclass(frozen=True)
class Predicted:
    """Test images of one network with truth and prediction, on its grid.

    rows: of the split; network: its settings; slice_folder, label_folder: those of the recipes; folder: that of the
    predicted classes.
    """

    rows: Sequence[Row]
    network: Mapping[str, Any]
    slice_folder: Path
    label_folder: Path
    folder: Path

    def example(self, volume: str, index: int, dice: float, place: str = "", between: str = ", ") -> Example:
        """(caption, image, truth, prediction) of one of rank's images."""
        row = [row for row in self.rows if (row["volume"], int(row["index"])) == (volume, index)]
        grid = (self.network["image_size"], self.network["resize"])
        return (
            f"{place}{volume}{between}slice {index}{between}Dice {dice:.3f}",
            batches.load_images(row, self.slice_folder, *grid)[0],
            batches.load_masks(row, self.label_folder, *grid)[0],
            png.read(png.slice_path(self.folder, row[0])),
        )

    def quartiles(self, ranked: Sequence[tuple[str, int, float]]) -> list[Example]:
        """The worst image of a ranking, its lower quartile, its median and the best."""
        return [self.example(*ranked[k], f"{place}:\n") for place, k in places(len(ranked)).items()]

    def extremes(self, ranked: Sequence[tuple[str, int, float]]) -> list[tuple[str, list[Example]]]:
        """Two lines: the worst and the best images of a ranking."""
        shown = min(EXTREMES, -(-len(ranked) // 2))
        lines = [(f"the worst {shown} slices by Dice", ranked[:shown]), (f"the best {shown}", ranked[::-1][:shown])]
        return [(heading, [self.example(*each, between="\n") for each in line]) for heading, line in lines]
