"""What a model's package says of it: its scores, its data, and the card that a person reads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .. import FOREGROUND
from ..data import tables as sheets
from .frames import read_table
from .tables import class_interval, class_scores, how, unit_of

METRICS = ("dice", "asd", "nsd")
SCANNER = ("Manufacturer", "ManufacturerModelName", "MagneticFieldStrength")
NEVER = (
    "Not for diagnosis or treatment: it is no medical device, and nobody has tested it as one.",
    "Not without a look at each result: a scan unlike those above can be segmented wrongly without a warning.",
    "Levels are counted from the lowest one that is seen; what they are called anatomically is not known.",
)


def scores(metrics: Iterable[str | Path], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of each class over all patients that the networks had not seen, with 95% intervals over patients.

    metrics: metrics.csv of all folds and seeds of an experiment on one sequence; settings: its `evaluation`.
    """
    images = pd.concat([read_table(path) for path in metrics])
    images = images[images["scored"] & (images["grid"] == settings["grid"])]
    classes: dict[str, Any] = {}
    settings = {**settings, "surface": "slice"}  # never over a stack of several patients
    for name in FOREGROUND:
        part = images[images["class"] == name]
        values, ends = class_scores(part, None, settings), class_interval(part, settings)
        classes[name] = {
            metric: {"value": _rounded(values[metric]), "interval": [_rounded(end) for end in ends[metric]]}
            for metric in METRICS
        }
    return {"classes": classes, "patients": int(images["patient"].nunique()), "how": how(settings)}


def highest_entropy(predictions: Iterable[str | Path]) -> float:
    """The highest mean entropy (nats) of a volume that the networks were tested on. predictions: predictions.csv of all
    folds and seeds."""
    tables = [read_table(path) for path in predictions]
    return round(float(max(table.loc[table["scored"], "entropy"].max() for table in tables)), 4)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def scanners(overview: str | Path | None, volumes: Sequence[str]) -> list[str]:
    """Makes, models and field strengths of the scanners, the most frequent first, as far as overview.csv names them."""
    if overview is None:
        return []
    table = sheets.read(overview)
    rows = [row for row in table.rows if row.get("new_file_name") in set(volumes)]
    named = (" ".join(row[key] for key in SCANNER[:2] if row.get(key)) for row in rows)
    fields = (f", {_tesla(row[SCANNER[2]])}" if row.get(SCANNER[2]) else "" for row in rows)
    counted = Counter(name + strength for name, strength in zip(named, fields, strict=True) if name)
    return [f"{name} ({number})" for name, number in counted.most_common()]


def _tesla(strength: str) -> str:
    """1.5 T for 1.50; what is no number, as it stands."""
    try:
        return f"{float(strength.replace(',', '.')):g} T"
    except ValueError:
        return strength


def text(about: Mapping[str, Any]) -> str:
    """CARD.md of a package, from what model.json holds."""
    network, data, test = about["settings"]["network"], about["trained_on"], about["scores"]
    seen = f"volumes: {data['volumes']} ({', '.join(about['sequences'])}), patients: {data['patients']}"
    lines = [
        f"# {about['name']}",
        "",
        "A model that segments vertebrae, spinal canal and discs in sagittal lumbar MRI.",
    ]
    lines += ["", "## What it is", ""]
    lines += [f"- networks: {len(about['networks'])}, {_kind(network)}, input {_by(network['image_size'])}"]
    lines[-1] += f"{_beside(network)}; a scan's probabilities are the mean of theirs{_across(about)}"
    lines += [f"- made by {about['software']}", f"- licence: {about['licence'] or 'not stated'}"]
    lines += [f"- needs code that it does not hold: {module}" for module in about["needs"]]
    lines += ["", "## What it was trained on", "", f"- {seen}; {about['data'] or 'origin not stated'}"]
    lines += [f"- {_range(data['spacing_mm'])} mm a voxel (slice, row, column)"]
    lines += [f"- {_range(data['extent_mm'])} mm in all (left to right, head to foot, front to back)"]
    lines += [f"- scanners: {'; '.join(data['scanners']) or 'not known'}"]
    lines += ["", "## How well", "", f"Patients that a network had not seen: {test['patients']} ({test['how']}).", ""]
    if test["everyone"]:
        lines[-1:] = [
            "These are scores of networks that were each trained without the patients they were scored on. The one in",
            "this package was trained on all patients, with the same settings; nobody is left to score it on.",
            "",
        ]
    if test["chose_epoch"]:
        lines[-1:] = [
            "The epoch of each network was chosen by the same patients (`validation: test`), so that these scores",
            "flatter.",
            "",
        ]
    unit = unit_of("asd", test["how"])
    lines += [f"| class | Dice | ASD ({unit}) | NSD |", "|---|---|---|---|"]
    for name, values in test["classes"].items():
        lines.append(f"| {name} | " + " | ".join(_cell(values[metric]) for metric in METRICS) + " |")
    lines += ["", "In brackets: 95% intervals over patients, where there are at least 6."]
    lines += ["", "## What not to use it for", "", *(f"- {line}" for line in NEVER)]
    lines += [f"- Of sequences it has seen {', '.join(about['sequences'])} alone; others can be segmented wrongly."]
    return "\n".join(lines) + "\n"


def _kind(network: Mapping[str, Any]) -> str:
    members = network["options"].get("members", [])
    return f"`{network['name']}`" + (" of " + ", ".join(f"`{name}`" for name in members) if members else "")


def _across(about: Mapping[str, Any]) -> str:
    smoothing = about.get("slice_smoothing_mm", 0)
    return f", averaged across slices over {smoothing:g} mm" if smoothing else ""


def _beside(network: Mapping[str, Any]) -> str:
    count = network.get("neighbours", 0)
    return f" of a slice and {count} on each side of it" if count else ""


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _range(ends: Mapping[str, Sequence[float]]) -> str:
    return ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ends.values())


def _cell(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "-"
    low, high = found["interval"]
    return f"{found['value']:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None else "")
