"""Table 3: published systems, the paper and this run's networks, with what may be compared with what."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .. import CLASSES, FOREGROUND
from ..measures.instances import case_scores
from .tables import unit_of

Key = tuple[str, str]  # experiment (or what stands for one), sequence
Row = dict[str, Any]

COLUMNS = (
    *("class", "metric", "system", "score", "value", "sd", "cases", "unit", "measured", "comparable with", "data"),
    "source",
)
CEILING = "true classes"  # in place of an experiment
COMPARABLE = {
    "paper": "released rows in px of the same metric, as far as slices of other patients can be",
    "published": "the other published rows: the same patients and program",
    "2-D, mm": "2-D rows in mm of this run, where the test slices are the same",
    "2-D, px": "2-D rows in px of this run, where the test slices are the same",
    "3-D, class": "3-D class rows of this run, where the patients are the same",
    "official": "official rows of this run on the same patients; the published rows are this score on other patients",
    "corrected": "corrected rows of this run on the same patients",
    "strict": "strict rows of this run on the same patients",
}


def table3(
    table: pd.DataFrame,
    in_3d: Mapping[Key, pd.DataFrame],
    instances: Mapping[Key, pd.DataFrame],
    paper: pd.DataFrame,
    systems: pd.DataFrame,
) -> pd.DataFrame:
    """Table 3: the paper's comparison with nnU-Net, with a column that says what may be compared.

    table: table2's frame; in_3d, instances: {(experiment, sequence): rows of metrics_3d, metrics_instances}, the
    latter with a column `training`, and of (CEILING, sequence); paper, systems: the published tables.
    """
    rows: list[dict[Any, Any]] = [
        {"class": row["class"], "metric": row["metric"], "system": "paper, t2_SPACE", "value": row["proposed"]}
        | {"unit": "px" if row["metric"] == "asd" else "", "measured": "2-D, px", "data": "slices at random; leaks"}
        | {"comparable with": COMPARABLE["paper"], "source": "the paper, Table 3"}
        for row in paper.to_dict("records")
    ]
    for row in systems.to_dict("records"):
        rows.append({**row, "score": "official", "comparable with": COMPARABLE["published"]})
    rows += _flat_rows(table)
    for (experiment, sequence), volumes in in_3d.items():
        rows += _class_rows(f"{experiment}, {sequence}", volumes)
    for (experiment, sequence), structures in instances.items():
        rows += _instance_rows(f"{experiment}, {sequence}", structures, experiment == CEILING)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for name in ("value", "sd", "cases"):
        frame[name] = frame[name].astype(float)
    names = [*CLASSES, "all", "dice", "iou", "asd", "nsd", "detection", "official", "corrected", "strict"]
    order = {name: number for number, name in enumerate(names)}
    return frame.sort_values(
        ["class", "metric", "measured", "score"],
        key=lambda column: column if column.name == "measured" else column.map(order),
        kind="stable",
        na_position="first",
    )


def _flat_rows(table: pd.DataFrame) -> list[Row]:
    """Rows of Table 2, of slices."""
    rows = []
    for row in table[(table["experiment"] != "paper") & table["class"].isin(FOREGROUND)].to_dict("records"):
        unit = unit_of("asd", row["how"])
        common = {"class": row["class"], "system": f"{row['experiment']}, {row['sequence']}", "source": row["how"]}
        common |= {"measured": f"2-D, {unit}", "comparable with": COMPARABLE[f"2-D, {unit}"]}
        for metric in ("dice", "iou", "asd", "nsd", "detection"):
            value = {"metric": metric, "value": row[metric], "unit": unit if metric == "asd" else ""}
            rows.append({**common, **value, "cases": row.get("patients"), "data": "this run's test set"})
    return rows


def _class_rows(system: str, volumes: pd.DataFrame) -> list[Row]:
    """Each class of a volume as a whole; mean and sd over patients."""
    rows = []
    for name, part in volumes.groupby("class", sort=False):
        for metric, column in (("dice", "dice"), ("asd", "assd_mm")):
            values = part[column].replace(np.inf, np.nan).groupby(part["patient"]).mean()
            row = {"class": name, "metric": metric, "system": system, **_spread(values), "measured": "3-D, class"}
            row |= {"unit": "mm" if metric == "asd" else "", "data": "this run's test set"}
            row |= {"comparable with": COMPARABLE["3-D, class"], "source": "each class as a whole; cases: patients"}
            rows.append(row)
    return rows


def _instance_rows(system: str, structures: pd.DataFrame, ceiling: bool) -> list[Row]:
    """SPIDER's score of each kind: a value a case (volume), then mean and sd over the cases."""
    cases = []
    for (_, volume), part in structures.groupby(["training", "volume"], sort=False):
        records: Any = part.to_dict("records")  # Any: pandas' stubs allow any keys
        cases += [{"volume": volume, **scores} for scores in case_scores(records)]
    rows = []
    score: Any
    for (score, name), part in pd.DataFrame(cases).groupby(["score", "class"], sort=False):
        found = f"{int(part['structures'].sum() - part['missed'].sum())} of {int(part['structures'].sum())} found"
        for metric in ("dice", "asd", "detection"):
            by_volume = part.groupby("volume")[metric]
            values = by_volume.mean()
            if score == "official" and metric == "asd":  # unknown if it is in one of several trainings, as in Table 2
                values = values.where(by_volume.count() == by_volume.size())
            if values.isna().all() and (name == "all" or metric == "detection"):
                continue
            if metric == "detection" and score == "corrected":
                continue  # the same as of `official`
            row = {"class": name, "metric": metric, "system": system, "score": score, **_spread(values)}
            row |= {"unit": "mm" if metric == "asd" else "", "measured": "3-D", "comparable with": COMPARABLE[score]}
            row |= {"data": "all volumes" if ceiling else "this run's test set"}
            row["source"] = "structures; cases: volumes" if name == "all" else f"structures, {found}; cases: volumes"
            if ceiling:
                row["source"] = "a perfect class mask, its structures told apart: the rest is lost there"
            rows.append(row)
    return rows


def _spread(values: pd.Series) -> Row:
    """Mean, sd and number of the known values."""
    known = values.dropna()
    return {"value": known.mean(), "sd": known.std(), "cases": len(known)}
