"""Figures that are readable in print and for colour-blind readers."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .. import CLASSES
from ..files import replacing

if TYPE_CHECKING:
    import pandas as pd  # only for types: drawing does not need the package itself

Picture = NDArray[np.uint8]  # [H, W], of a slice or its class mask
Example = tuple[str, Picture, Picture, Picture]  # caption and three pictures of one size

# different in hue for colour-blind readers; vertebrae and canal are of one lightness, so not for prints in grey
COLOURS = {"vertebrae": "#E69F00", "spinal_canal": "#56B4E9", "ivd": "#AA3377"}
DPI = 100  # of a PNG, which is for the screen and the report; SVG is for print
GREYS, TINTS, STRONG = 33, 40, 12  # colours of a PNG: what noise hides costs three quarters of its bytes
NAMES = {"vertebrae": "vertebrae", "spinal_canal": "spinal canal", "ivd": "intervertebral discs"}
plt.rcParams.update(
    {"svg.hashsalt": "lumbarflow", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
)


def save(figure: Figure, stem: str | Path) -> None:
    """Write a figure as PNG (of few colours, see `few_colours`) and SVG, without dates in the files."""
    for axis in figure.axes:
        if not axis.axison:  # ticks that are not drawn are measured all the same, which takes most of the time
            axis.set(xticks=[], yticks=[])
    figure.set_dpi(DPI)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="rgba")
    with replacing(f"{stem}.png") as path:
        picture = Image.frombuffer("RGBA", figure.canvas.get_width_height(), drawn.getvalue())
        few_colours(picture).save(path, optimize=True)
    figure.set_layout_engine("none")  # laid out by now
    with replacing(f"{stem}.svg") as path:
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def few_colours(picture: Image.Image) -> Image.Image:
    """A picture in GREYS shades from black to white, TINTS colours of its own (median cut, then k-means, on every third
    pixel of every third row), the classes' colours and the STRONG most frequent of its strong ones, so that lines and
    points keep theirs. A slice's noise hides what is lost, and the report is a third of the size.
    """
    picture = picture.convert("RGB")
    sample = picture.resize((max(picture.width // 3, 1), max(picture.height // 3, 1)), Image.Resampling.NEAREST)
    tints = np.reshape(sample.quantize(TINTS, Image.Quantize.MEDIANCUT, kmeans=3).getpalette() or [], (-1, 3))
    codes, counts = np.unique(np.asarray(picture).reshape(-1, 3) @ [1 << 16, 1 << 8, 1], return_counts=True)
    found = codes[counts.argsort()[::-1], None] >> [16, 8, 0] & 255
    greys = np.linspace(0, 255, GREYS).round()[:, None].repeat(3, axis=1)
    classes = 255 * matplotlib.colors.to_rgba_array(list(COLOURS.values()))[:, :3]
    colours = [greys, tints[np.ptp(tints, axis=1) >= 16], classes, found[np.ptp(found, axis=1) >= 100][:STRONG]]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate(colours).round().astype(np.uint8).tobytes())
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def curves(history: "pd.DataFrame", best_epoch: int, title: str, validation: str) -> Figure:
    """Figures 12 to 14: accuracy, mean Dice and mean IoU against epochs, the best epoch marked.

    history: DataFrame of history.csv. validation: legend of the validation curve.
    """
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axis, (name, label) in zip(
        axes, (("accuracy", "Accuracy"), ("mean_dice", "Mean Dice"), ("mean_iou", "Mean IoU")), strict=True
    ):
        axis.plot(history["epoch"], history[f"train_{name}"], color="#0072B2", label="training")
        if history[f"validation_{name}"].notna().any():
            axis.plot(history["epoch"], history[f"validation_{name}"], color="#D55E00", ls="--", label=validation)
            best = history.loc[history["epoch"] == best_epoch, f"validation_{name}"]
            axis.plot([best_epoch], best, "o", color="#D55E00", mfc="white", label=f"best epoch ({best_epoch})")
        axis.set(xlabel="Epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return figure


def paint(axis: Axes, image: Picture, mask: Picture | None = None) -> None:
    """Show a grey slice uint8 [H, W] with each class of a mask outlined and lightly filled."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if mask is not None:
        for name, colour in COLOURS.items():
            inside = mask == CLASSES.index(name)
            if inside.any():
                rgba = np.zeros((*mask.shape, 4))
                rgba[inside] = matplotlib.colors.to_rgba(colour, 0.45)
                axis.imshow(rgba, interpolation="nearest")
                axis.contour(inside, [0.5], colors=[colour], linewidths=0.8)
    axis.set_axis_off()


def tint(image: Picture, mask: Picture) -> NDArray[np.uint8]:
    """A grey slice uint8 [H, W] with each class of its mask in its colour: RGB uint8 [H, W, 3]."""
    rgb = np.repeat(image[..., None], 3, -1).astype(float)
    for name, colour in COLOURS.items():
        inside = mask == CLASSES.index(name)
        rgb[inside] = 0.45 * rgb[inside] + 0.55 * 255 * np.array(matplotlib.colors.to_rgb(colour))
    return rgb.round().astype(np.uint8)


def gallery(lines: Sequence[tuple[str, Sequence[tuple[str, NDArray[np.uint8]]]]], title: str) -> Figure:
    """Rows of pictures, each row under its heading. lines: [(heading, [(caption, uint8 [H, W] or [H, W, 3])])]."""
    columns = max(1, *(len(tiles) for _, tiles in lines))
    high, wide = next(picture.shape[:2] for _, tiles in lines for _, picture in tiles)
    cell = 2.0
    heights = [0.8 + (cell * high / wide if tiles else 0) for _, tiles in lines]
    figure = plt.figure(figsize=(columns * cell + 0.4, 0.6 + sum(heights)), layout="constrained")
    parts = figure.subfigures(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (heading, tiles) in zip(parts, lines, strict=True):
        part.suptitle(heading, fontsize=10, x=0.01, ha="left", weight="bold")
        axes = part.subplots(1, columns, squeeze=False)[0]
        for axis in axes:
            axis.set_axis_off()
        for axis, (caption, picture) in zip(axes, tiles, strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(caption, fontsize=7, loc="left")
        if not tiles:
            axes[0].text(0, 0.5, "none", transform=axes[0].transAxes)
    figure.suptitle(title, fontsize=10)
    return figure


def differences(truth: Picture, other: Picture) -> Picture:
    """Where class masks [H, W] differ, the true class, or the other one if the truth is background; elsewhere 0."""
    return np.where(truth == other, 0, np.where(truth > 0, truth, other))


def worst_places(truth: Picture, prediction: Picture, number: int = 3) -> list[tuple[int, int, int]]:
    """Where two masks [H, W] differ most: at most `number` circles (y, x, radius), in pixels, the worst first, without
    overlap."""
    radius = max(3, round(min(truth.shape) / 14))
    density = cv2.blur((truth != prediction).astype(np.float32), (2 * radius + 1,) * 2, borderType=cv2.BORDER_CONSTANT)
    places: list[tuple[int, int, int]] = []
    while len(places) < number and density.max() > 0.1:
        y, x = np.unravel_index(density.argmax(), density.shape)
        places.append((int(y), int(x), radius))
        cv2.circle(density, (int(x), int(y)), 2 * radius, 0, -1)
    return places


def overlays(examples: Sequence[Example], title: str, aspect: float) -> Figure:
    """Figures 8, 10 and 11: image, truth, prediction, and where the two differ most, one row per example.

    examples: [(caption, image, truth, prediction)], arrays uint8 [H, W] of one size. aspect: height / width of a pixel.
    """
    height, width = examples[0][1].shape
    cell = 2.3
    figure, axes = plt.subplots(
        len(examples),
        4,
        figsize=(4 * cell + 0.4, len(examples) * (cell * aspect * height / width + 0.25) + 0.8),
        layout="constrained",
        squeeze=False,
    )
    for row, (caption, image, truth, prediction) in zip(axes, examples, strict=True):
        differ = differences(truth, prediction)
        for axis, mask in zip(row, (None, truth, prediction, differ), strict=True):
            paint(axis, image, mask)
            axis.set_aspect(aspect)
        axis.autoscale(False)  # a circle that crosses the border must not shrink its picture
        for y, x, radius in worst_places(truth, prediction):
            axis.add_patch(
                plt.matplotlib.patches.Ellipse((x, y), 2 * radius, 2 * radius / aspect, fill=False, ec="red")
            )
        row[0].set_title(caption, loc="left", fontsize=8)
    for axis, name in zip(axes[0][1:], ("truth", "prediction", "differences, worst circled"), strict=True):
        axis.set_title(name, fontsize=9)
    _legend(figure)
    figure.suptitle(title)
    return figure


def _legend(figure: Figure) -> None:
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, list(NAMES.values()), loc="outside lower center", ncols=3, frameon=False)


def structures(truth: Picture, prediction: Picture, title: str, aspect: float) -> Figure:
    """Figure 9: each structure of one mask by itself, truth above, prediction below. Masks: uint8 [H, W]."""
    high = 2.3 * aspect * truth.shape[0] / truth.shape[1]
    figure, axes = plt.subplots(2, 4, figsize=(9.6, 2 * high + 1), layout="constrained")
    for row, (word, mask) in zip(axes, (("truth", truth), ("prediction", prediction)), strict=True):
        for axis, name in zip(row, ("all", *COLOURS), strict=True):
            shown = mask if name == "all" else np.where(mask == CLASSES.index(name), mask, 0)
            paint(axis, np.zeros_like(mask), shown)
            axis.set_aspect(aspect)
            axis.set_title(f"{word}: {NAMES.get(name, 'all')}", fontsize=8, loc="left")
    figure.suptitle(title)
    return figure


def extremes(lines: Sequence[tuple[str, Sequence[Example]]], title: str, aspect: float) -> Figure:
    """Slices with truth (outline) and prediction (filled), in rows.

    lines: [(heading, [(caption, image, truth, prediction)])], arrays uint8 [H, W] of one size.
    """
    columns = max(len(tiles) for _, tiles in lines)
    high, wide = lines[0][1][0][1].shape
    figure = plt.figure(
        figsize=(columns * 1.5, 0.8 + len(lines) * (1.5 * aspect * high / wide + 0.6)), layout="constrained"
    )
    for part, (heading, tiles) in zip(figure.subfigures(len(lines), 1, squeeze=False)[:, 0], lines, strict=True):
        part.suptitle(heading, fontsize=9, x=0.01, ha="left", weight="bold")
        axes = part.subplots(1, columns, squeeze=False)[0]
        for axis in axes:
            axis.set_axis_off()
        for axis, (caption, image, truth, prediction) in zip(axes, tiles, strict=False):
            axis.imshow(tint(image, prediction), interpolation="nearest", aspect=aspect)
            for name, colour in COLOURS.items():
                inside = truth == CLASSES.index(name)
                if inside.any():
                    axis.contour(inside, [0.5], colors=[colour], linewidths=0.8)
            axis.set_title(caption, fontsize=6, loc="left")
    figure.suptitle(title, fontsize=10)
    _legend(figure)
    return figure


def outlined(image: Picture, mask: Picture, width: int) -> NDArray[np.uint8]:
    """A small copy of a grey slice uint8 [H, W] with each class of its mask outlined: RGB uint8 [h, width, 3]."""
    size = (width, round(image.shape[0] * width / image.shape[1]))
    # Any: OpenCV's stubs promise no dtype
    rgb: Any = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2RGB)
    classes = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
    for name, colour in COLOURS.items():
        inside = (classes == CLASSES.index(name)).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(rgb, contours, -1, [round(255 * part) for part in matplotlib.colors.to_rgb(colour)], 1)
    return rgb


def contact_sheet(
    path: str | Path, tiles: Sequence[tuple[str, str, str, Picture, Picture | None]], title: str, remark: str
) -> None:
    """Write a page of small pictures as PNG, in which a person can find volumes with a wrong orientation.

    tiles: [(name, remark, what is odd, slice, mask)], uint8 [H, W]; mask: None where there is none.
    """
    wide = 150
    drawn = [
        (name, text, odd, outlined(image, np.zeros_like(image) if mask is None else mask, wide))
        for name, text, odd, image, mask in tiles
    ]
    high = max(picture.shape[0] for *_, picture in drawn)
    columns = max(3, min(len(tiles), round((len(tiles) * 1.5 * high / wide) ** 0.5)))
    odds = [textwrap.fill(odd, wide // 6) for _, _, odd, _ in drawn]  # a letter is at most 6 pixels wide
    below = 62 + 15 * max(odd.count("\n") for odd in odds)
    lines = -(-len(tiles) // columns)
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    page = Image.new("RGB", (columns * (wide + 8) + 8, 76 + lines * (high + below)), "white")
    draw = ImageDraw.Draw(page)
    draw.text((8, 8), title, "black", font)
    draw.text((8, 28), remark, "#555555", small)
    x = 8.0
    for name, colour in COLOURS.items():
        draw.rectangle((x, 51, x + 10, 61), outline=colour, width=2)
        draw.text((x + 15, 49), NAMES[name], "#555555", small)
        x += 35 + small.getlength(NAMES[name])
    for number, ((name, text, _, picture), odd) in enumerate(zip(drawn, odds, strict=True)):
        left, top = 8 + number % columns * (wide + 8), 76 + number // columns * (high + below)
        page.paste(Image.fromarray(picture), (left, top))
        draw.text((left, top + high + 1), name, "black", font)
        draw.text((left, top + high + 19), text, "#555555", small)
        draw.text((left, top + high + 35), odd, "#c00000", small)
    with replacing(path) as temporary:
        few_colours(page).save(temporary, optimize=True)


def repair_costs(
    dice: Mapping[str, NDArray[np.floating]], vanished: Mapping[str, int], examples: Sequence[Example], title: str
) -> Figure:
    """What APTA does to each class: the Dice of every slice, and the worst slices before and after.

    dice: {class: array of Dice, one per slice}; vanished: {class: number of slices that lost it}.
    examples: [(caption, grey mask, exact, repaired)], uint8 [H, W].
    """
    figure = plt.figure(figsize=(9, 3.4 + 3 * len(examples)), layout="constrained")
    heights = [3.4, 3 * len(examples)] if examples else [3.4]
    above, *below = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    axis = above.subplots()
    rng = np.random.default_rng(0)  # for jitter only
    ticks = []
    for place, (name, values) in enumerate(dice.items()):
        axis.plot(place + rng.uniform(-0.2, 0.2, len(values)), values, ".", ms=5, alpha=0.6, color=COLOURS[name])
        low, middle = np.quantile(values, [0.25, 0.5]) if len(values) else (np.nan, np.nan)
        axis.hlines([low, middle], place - 0.3, place + 0.3, color="black", lw=[0.8, 1.8])
        ticks.append(f"{NAMES[name]}\nmedian {middle:.3f}, lower quartile {low:.3f}\ngone from {vanished[name]} slices")
    axis.set(xticks=range(len(dice)), xticklabels=ticks, xlim=(-0.5, len(dice) - 0.5), ylim=(-0.03, 1.03))
    axis.set_ylabel("Dice of a slice,\nAPTA against exact")
    axis.grid(axis="y", alpha=0.3)
    figure.suptitle(title)
    if examples:
        _before_and_after(below[0].subplots(len(examples), 4, squeeze=False), examples)
    return figure


def _before_and_after(axes: NDArray[np.object_], examples: Sequence[Example]) -> None:
    for axis, head in zip(axes[0], ("mask as grey picture", "exact", "after APTA", "pixels that differ"), strict=True):
        axis.set_title(head, fontsize=9)
    for line, (caption, grey, exact, repaired) in zip(axes, examples, strict=True):
        shown = np.argwhere(exact | repaired)
        (top, left), (bottom, right) = shown.min(0), shown.max(0) + 1
        box = (slice(max(top - 8, 0), bottom + 8), slice(max(left - 8, 0), right + 8))
        differ = differences(exact, repaired)
        black = np.zeros_like(exact)
        paint(line[0], grey[box])
        for axis, mask in zip(line[1:], (exact, repaired, differ), strict=True):
            paint(axis, black[box], mask[box])
        line[0].text(0, -0.02, caption, transform=line[0].transAxes, va="top", fontsize=8)
