"""Figures, readable in print and by the colour-blind."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from . import CLASSES
from .files import replacing

# apart in hue and in lightness, for the colour-blind and for print
COLOURS = {"vertebrae": "#E69F00", "spinal_canal": "#56B4E9", "ivd": "#AA3377"}
plt.rcParams.update(
    {"svg.hashsalt": "lumbarflow", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
)


def save(figure, stem):
    """Write a figure as PNG and SVG, without times in them."""
    for ending in ("png", "svg"):
        with replacing(f"{stem}.{ending}") as path:
            metadata = {"Date": None} if ending == "svg" else {"Software": None}
            figure.savefig(path, dpi=150, metadata=metadata)
    plt.close(figure)


def curves(history, best_epoch, title, validation):
    """Figures 12 to 14: accuracy, mean Dice and mean IoU against epochs, the best epoch marked.

    history: DataFrame of history.csv. validation: what to call the validating images.
    """
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axis, (name, label) in zip(
        axes, (("accuracy", "Accuracy"), ("mean_dice", "Mean Dice"), ("mean_iou", "Mean IoU")), strict=True
    ):
        axis.plot(history["epoch"], history[f"train_{name}"], color="#0072B2", label="training")
        axis.plot(history["epoch"], history[f"validation_{name}"], color="#D55E00", ls="--", label=validation)
        best = history.loc[history["epoch"] == best_epoch, f"validation_{name}"]
        axis.plot([best_epoch], best, "o", color="#D55E00", mfc="white", label=f"best epoch ({best_epoch})")
        axis.set(xlabel="Epoch", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return figure


def paint(axis, image, mask=None):
    """Show a grey slice [H, W] with each class of a mask outlined and lightly filled."""
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


def overlays(examples, title, aspect):
    """Figures 8 and 11: image, truth and prediction, a row an example.

    examples: [(caption, image, truth, prediction)], arrays uint8 [H, W] of one size.
    """
    height, width = examples[0][1].shape
    cell = 2.3
    figure, axes = plt.subplots(
        len(examples),
        3,
        figsize=(3 * cell + 0.4, len(examples) * (cell * aspect * height / width + 0.25) + 0.8),
        layout="constrained",
        squeeze=False,
    )
    for row, (caption, image, truth, prediction) in zip(axes, examples, strict=True):
        for axis, mask in zip(row, (None, truth, prediction), strict=True):
            paint(axis, image, mask)
            axis.set_aspect(aspect)
        row[0].set_title(caption, loc="left", fontsize=8)
    for axis, name in zip(axes[0][1:], ("truth", "prediction"), strict=True):
        axis.set_title(name, fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(
        handles,
        ["vertebrae", "spinal canal", "intervertebral discs"],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    figure.suptitle(title)
    return figure
