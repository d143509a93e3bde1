"""Charts: the network as built, experiments side by side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import FOREGROUND
from .figures import COLOURS, NAMES, plt

if TYPE_CHECKING:
    import pandas as pd  # only for types: drawing does not need the package itself

Box = tuple[str, str, int, int, int]  # name, kind, height, width, filters
FEW = 100  # pixels: a bin of probabilities with fewer is not drawn
KINDS = {
    "Conv2D": ("convolution", "#0072B2"),
    "MaxPooling2D": ("max pooling", "#D55E00"),
    "Conv2DTranspose": ("transposed convolution", "#009E73"),
    "UpSampling2D": ("upsampling", "#F0E442"),
    "Concatenate": ("concatenation with a skip", "#CC79A7"),
    "Add": ("sum", "#E69F00"),
    "Multiply": ("attention gate", "#999999"),
}


def network(layers: Sequence[Box], links: Sequence[tuple[str, str]], title: str) -> Figure:
    """Figure 7: a network from left to right, one bar per layer: height is resolution, width is filters.

    layers: [(name, kind, height, width, filters)] in the order of computing, kinds as in KINDS; a name `model/layer`
    stands in a row of that model. links: pairs of layer names, drawn only if they skip other layers of a row.
    """
    rows: dict[str, list[Box]] = {}
    for layer in layers:
        rows.setdefault(layer[0].rpartition("/")[0], []).append(layer)
    figure, axes = plt.subplots(len(rows), 1, figsize=(11, 1 + 3.6 * len(rows)), layout="constrained", squeeze=False)
    for axis, (name, row) in zip(axes[:, 0], rows.items(), strict=True):
        _row(axis, row, links)
        axis.set_title(name, fontsize=9, loc="left")
    used = [kind for kind in KINDS if any(layer[1] == kind for layer in layers)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=KINDS[kind][1]) for kind in used]
    names = [KINDS[kind][0] for kind in used]
    figure.legend(handles, names, loc="outside lower center", ncols=len(used), frameon=False, fontsize=8)
    figure.suptitle(title)
    return figure


def _row(axis: Axes, layers: Sequence[Box], links: Iterable[tuple[str, str]]) -> None:
    """The bars of one model, and the links among them."""
    size = max(height for _, _, height, _, _ in layers)
    place: dict[str, tuple[float, float, float]] = {}
    left = 0.0
    for name, kind, height, width, filters in layers:
        broad, tall = 0.25 + 0.12 * np.log2(filters), height / size
        axis.bar(left, tall, broad, bottom=-tall / 2, align="edge", color=KINDS[kind][1], lw=0.4, ec="white")
        label = f"{filters}"
        if kind in ("MaxPooling2D", "Conv2DTranspose", "UpSampling2D") or not place:
            label += f"\n{height}x{width}"
        axis.text(left + broad / 2, -tall / 2 - 0.015, label, ha="center", va="top", fontsize=5.5)
        place[name] = (left, left + broad, tall)
        left += broad + 0.12
    order = list(place)
    for first, second in links:
        if first in place and second in place and order.index(second) - order.index(first) > 2:
            (_, start, tall), (end, _, other) = place[first], place[second]
            top = max(tall, other) / 2 + 0.06
            axis.plot([start, start, end, end], [tall / 2, top, top, other / 2], color="#555555", lw=0.7)
    axis.set(xlim=(-0.3, left + 0.2), ylim=(-0.64, 0.64))
    axis.set_axis_off()


def _columns(axis: Axes, groups: Sequence[tuple["pd.Series", str]], ticks: Sequence[str]) -> None:
    """One column of points per group, with median and quartiles."""
    rng = np.random.default_rng(0)  # for jitter only
    for place, (given, colour) in enumerate(groups):
        values = np.asarray(given, float)
        values = values[np.isfinite(values)]
        axis.plot(place + rng.uniform(-0.15, 0.15, len(values)), values, ".", color=colour, alpha=0.7, ms=6)
        if len(values):
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            axis.plot([place, place], [low, high], color="black", lw=1)
            axis.plot([place - 0.25, place + 0.25], [middle, middle], color="black", lw=1.8)
    axis.set_xticks(range(len(groups)), ticks, rotation=30, ha="right")
    axis.grid(axis="y", alpha=0.3)


def distributions(dice: Mapping[str, "pd.DataFrame"], title: str) -> Figure:
    """Dice of every test patient, by class and experiment. dice: {experiment: DataFrame, one row per patient}."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), layout="constrained", sharey=True)
    for axis, name in zip(axes, FOREGROUND, strict=True):
        _columns(axis, [(frame[name], COLOURS[name]) for frame in dice.values()], list(dice))
        axis.set_title(NAMES[name], fontsize=9)
    axes[0].set_ylabel("Dice of a patient")
    figure.suptitle(title)
    return figure


def ladder(table: "pd.DataFrame", title: str) -> Figure:
    """What each step costs: Dice above, ASD below, one line per class. table: ladder of one sequence."""
    figure, axes = plt.subplots(2, 1, figsize=(8.5, 6), layout="constrained", sharex=True)
    steps = table.drop_duplicates("experiment")
    for name in FOREGROUND:
        part = table[table["class"] == name].replace(np.inf, np.nan)
        places = range(len(part))
        for axis, column in zip(axes, ("dice", "asd, mm"), strict=True):
            axis.plot(places, part[column], "-o", color=COLOURS[name], label=NAMES[name])
        axes[0].plot(places, part["reported dice"], "D:", color=COLOURS[name], mfc="white", lw=0.8)
    for place, row in enumerate(steps.to_dict("records")):
        if str(row["test slices"]).startswith("others"):
            for axis in axes:
                axis.axvline(place - 0.5, color="#888888", ls="--", lw=0.8)
    axes[0].set_ylabel("Dice")
    axes[1].set_ylabel("ASD, mm")
    ticks = ["the paper\nas printed" if name == "paper" else name for name in steps["experiment"]]
    axes[1].set_xticks(range(len(ticks)), ticks, fontsize=8)
    axes[0].legend(frameon=False, fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    said = "filled: one yardstick (source grid, exact labels); white, dotted: as printed or reported; "
    said += "dashed: other test slices"
    figure.suptitle(f"{title}\n{said}", fontsize=10)
    return figure


def reliability(tables: Mapping[str, "pd.DataFrame"], offsets: Mapping[str, Sequence[float]], title: str) -> Figure:
    """How often what was said with a probability was true, one panel per class, one line per experiment, with its
    expected calibration error. tables: {experiment: sums of reliability.csv by class and bin}; offsets: {experiment:
    those of vertebrae, canal and discs}, if it decides by any."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 4.0), layout="constrained", sharey=True)
    lines = ("-", "--", "-.", ":")
    for axis, name in zip(axes, FOREGROUND, strict=True):
        axis.plot([0, 1], [0, 1], color="#888888", lw=0.8)
        for number, (experiment, table) in enumerate(tables.items()):
            # most pixels are surely something else; a few pixels say nothing
            part = table[(table["class"] == name) & (table["from"] > 0) & (table["pixels"] >= FEW)]
            error = np.average((part["said"] - part["true"]).abs(), weights=part["pixels"]) if len(part) else np.nan
            style = {"ls": lines[number % len(lines)], "marker": "osD^v"[number % 5]}
            label = f"{experiment}: {error:.3f}"
            axis.plot(part["said"], part["true"], **style, ms=3.5, color=COLOURS[name], label=label)
        axis.set(title=NAMES[name], xlabel="probability", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=7, loc="upper left")
    axes[0].set_ylabel("share that was true")
    said = [f"{name} adds {', '.join(f'{x:+.2f}' for x in each)}" for name, each in offsets.items()]
    figure.suptitle("\n".join([title, *(["to log-probabilities: " + "; ".join(said)] if said else [])]), fontsize=10)
    return figure


def canary(table: "pd.DataFrame", title: str) -> Figure:
    """The network's Dice beside that of copying the nearest training mask. table: rows of leakage.csv."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained", sharey=True)
    for axis, name in zip(axes, FOREGROUND, strict=True):
        for place, row in enumerate(table.to_dict("records")):
            axis.bar(place - 0.2, row[f"network: {name}"], 0.38, color=COLOURS[name])
            axis.bar(place + 0.2, row[f"copied mask: {name}"], 0.38, color="white", ec=COLOURS[name], hatch="///")
        axis.set_xticks(range(len(table)), list(table["experiment"]), rotation=30, ha="right", fontsize=8)
        axis.set_title(NAMES[name], fontsize=9)
        axis.grid(axis="y", alpha=0.3)
    axes[0].set(ylabel="Dice, pooled", ylim=(0, 1))
    figure.suptitle(title)
    return figure
