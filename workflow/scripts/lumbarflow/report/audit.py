"""Tables of the dataset, of the defects that the paper reports, and of what the paper's repair costs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import FOREGROUND
from ..data.dataset import duplicates
from ..data.survey import DEFECTS, compare
from ..files import read_csv
from ..images import png
from ..images.slices import PLACE
from . import frames


def _span(values: pd.Series, unit: str = "") -> str:
    """From the lowest to the highest value; empty if there is none."""
    if not values.notna().any():
        return ""
    low, high = (f"{value:.4g}" for value in (values.min(), values.max()))
    return (low if low == high else f"{low} to {high}") + unit


def _tally(values: pd.Series) -> str:
    """`SIEMENS (12), Philips (3)`, most frequent first; empty cells are unknown."""
    counts = values.fillna("").astype(str).str.strip().replace("", "unknown").value_counts()
    return ", ".join(
        f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def _describe_group(group: pd.DataFrame) -> dict[str, Any]:
    """One column of the dataset table."""
    negative = group["minimum"] < 0
    count = len(group)
    rows: dict[str, Any] = {
        "patients": group["patient"].nunique(),
        "series": count,
        "slices": group["slices"].sum(),
        "slices a series": _span(group["slices"]),
        "stored orientation": _tally(group["orientation"]),
        "sagittal matrix, rows": _span(group["height"]),
        "sagittal matrix, columns": _span(group["width"]),
        "in-plane spacing": _span(pd.concat([group["row_mm"], group["column_mm"]]), " mm"),
        "spacing between slices": _span(group["slice_mm"], " mm"),
        "intensities, series with negative ones": (
            f"{negative.sum()}, from {_span(group['minimum'][negative])}" if negative.any() else 0
        ),
        "intensities, highest": _span(group["maximum"]),
        "values in a mask": _span(group["values"]),
    }
    for name, text in DEFECTS.items():
        seen = group[name].dropna()
        rows[text] = f"{int(seen.astype(bool).sum())} of {len(seen)}"
    rows["headers corrected by config.overrides"] = group["corrected"].sum()
    same = duplicates(dict(zip(group["volume"], group["image_sha256"], strict=True)))
    rows["series with another's picture"] = ", ".join(" = ".join(names) for names in same) or 0
    odd = group["remarks"].fillna("").astype(str)
    rows["series without a mask"] = int(odd.str.contains("no mask").sum())
    rows["series with other remarks"] = int((~odd.isin(["", "no mask"])).sum())
    for title, name in (
        ("official subset, series", "subset"),
        ("scanner, series", "scanner"),
        ("field strength in T, series", "MagneticFieldStrength"),
    ):
        if name in group:
            rows[title] = _tally(group[name])
    if "sex" in group:
        rows["sex, patients"] = _tally(group.groupby("patient")["sex"].first())
    return rows


def dataset(volumes: pd.DataFrame, overview: pd.DataFrame | None, published: pd.DataFrame) -> pd.DataFrame:
    """The dataset table (paper sections 3.1 and 3.2.1): one row per property; columns: sequences, all, paper.

    volumes: DataFrame of survey.DESCRIPTION rows. overview: SPIDER's overview.csv or a sample sheet as
    DataFrame of text, or None. published: DataFrame (property, value).
    """
    key = frames.key_of(overview)
    if overview is not None and key is not None:
        known = overview.replace("", np.nan).drop_duplicates(key).set_index(key)
        if {"Manufacturer", "ManufacturerModelName"} <= set(known):
            models = known["ManufacturerModelName"].fillna("")
            known["scanner"] = (known["Manufacturer"].fillna("") + " " + models).str.strip()
        wanted = [name for name in ("subset", "sex", "scanner", "MagneticFieldStrength") if name in known]
        volumes = volumes.join(known[wanted], on="volume")
    groups = {name: part for name, part in volumes.groupby("sequence", sort=False)} | {"all": volumes}
    table = pd.DataFrame({name: _describe_group(group) for name, group in groups.items()}, dtype=object)
    table["paper"] = pd.Series(published.set_index("property")["value"])
    return table.rename_axis("property").reset_index()


def slice_dice(frame: pd.DataFrame, name: str) -> pd.Series:
    """Dice of a class in each slice whose exact mask shows it."""
    shown = frame[frame[f"exact_{name}"] > 0]
    return 2 * shown[f"both_{name}"] / (shown[f"exact_{name}"] + shown[f"repaired_{name}"])


def fidelity(tables: Iterable[tuple[Mapping[str, str], str, pd.DataFrame]]) -> pd.DataFrame:
    """What APTA costs: repaired masks against exact ones, one row per recipe, sequence and class.

    tables: [(recipes, sequence, DataFrame of survey.FIDELITY rows)]. Dice is pooled over all pixels, and
    computed per slice (`slice_dice`). `vanished`: slices in which only the exact mask has the class.
    """
    rows = []
    for recipes, sequence, frame in tables:
        for name in FOREGROUND:
            exact, repaired = frame[f"exact_{name}"], frame[f"repaired_{name}"]
            dice = slice_dice(frame, name)
            rows.append(
                {
                    "sequence": sequence,
                    "class": name,
                    "slices recipe": recipes["slices"],
                    "labels recipe": recipes["labels"],
                    "Dice pooled": 2 * frame[f"both_{name}"].sum() / ((exact.sum() + repaired.sum()) or np.nan),
                    "slices with the class": int((exact > 0).sum()),
                    "Dice a slice: median": dice.median(),
                    "lower quartile": dice.quantile(0.25),
                    "lowest": dice.min(),
                    "vanished": int(((exact > 0) & (repaired == 0)).sum()),
                    "appeared": int(((exact == 0) & (repaired > 0)).sum()),
                    "pixels lost, %": 100 * (1 - frame[f"both_{name}"].sum() / (exact.sum() or np.nan)),
                    "pixels changed in the picture, %": 100 * frame["changed"].sum() / frame["pixels"].sum(),
                }
            )
    return pd.DataFrame(rows)


def compare_masks(tables: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """What a repair changed in each slice: rows of survey.FIDELITY, with the slice's place on the canvas and the files
    of both masks (`exact`, `repaired`).

    tables: (slice table, table of exact masks, table of repaired masks) of each volume.
    """
    rows = []
    for sliced, exact, repaired in tables:
        for row, *masks in zip(*map(read_csv, (sliced, exact, repaired)), strict=True):
            name = png.name(row["index"])
            paths = [Path(table).with_suffix("") / name for table in (exact, repaired)]
            pair = [png.read(path, mask["sha256"]) for path, mask in zip(paths, masks, strict=True)]
            known = {key: row[key] for key in ("volume", "patient", "sequence", "index", *PLACE)}
            rows.append({**known, **compare(*pair), "exact": paths[0], "repaired": paths[1]})
    return rows
