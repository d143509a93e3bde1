"""The paper's tables, made from metrics, with the paper's own rows beside."""

import html

import numpy as np
import pandas as pd

from . import CLASSES
from .files import format_number, replacing
from .metrics import scores
from .weights import imbalance_ratio, row_pixels

HEADS = {"iou": "IoU", "dice": "Dice", "asd": "ASD", "nsd": "NSD", "f1": "F1", "dice pooled": "Dice pooled"}
METRICS = ("iou", "dice", "asd", "nsd", "precision", "recall", "f1")
FOREGROUND = CLASSES[1:]


def write(frame, stem, title, note):
    """Write a table as CSV (full precision), Markdown, LaTeX and a small sortable HTML page."""
    frame = frame.reset_index(drop=True)
    with replacing(f"{stem}.csv") as path:
        frame.map(format_number).to_csv(path, index=False, lineterminator="\n")
    shown = frame.apply(_column).rename(columns=HEADS)
    with replacing(f"{stem}.md") as path:
        text = shown.map(lambda cell: cell.replace("|", "\\|")).to_markdown(index=False, disable_numparse=True)
        path.write_text(f"**{title}**\n\n{text}\n\n{note}\n", encoding="utf-8")
    with replacing(f"{stem}.tex") as path:
        path.write_text(shown.to_latex(index=False, escape=True, caption=title), encoding="utf-8")
    with replacing(f"{stem}.html") as path:
        path.write_text(_page(shown, title, note), encoding="utf-8")


def _column(column):
    """A column as text for people: counts as whole numbers, scores with four decimals, a dash for no value."""
    numbers = column.dropna() if pd.api.types.is_numeric_dtype(column) else ()
    whole = len(numbers) > 0 and (numbers % 1 == 0).all()

    def cell(value):
        if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
            return "–"
        if isinstance(value, (float, np.floating)):
            return f"{value:.0f}" if whole else f"{value:.4f}"
        return format_number(value)

    return column.map(cell)


STYLE = """
:root { color-scheme: light }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222 }
table { border-collapse: collapse } th, td { padding: .25em .7em; text-align: right; white-space: nowrap }
th { border-top: 2px solid #222; border-bottom: 1px solid #222; cursor: pointer; user-select: none }
tr:last-child td { border-bottom: 2px solid #222 } tbody tr:nth-child(even) { background: #f4f6f8 }
td.text, th.text { text-align: left } td.text { white-space: normal; max-width: 24em } p { max-width: 60em }
"""
SORT = """
document.querySelectorAll('th').forEach((head, column) => head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], up = head.dataset.up !== 'true';
  const value = row => row.cells[column].textContent, number = text => parseFloat(text);
  [...body.rows].sort((a, b) => {
    const x = number(value(a)), y = number(value(b));
    const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) || value(a).localeCompare(value(b)) : x - y;
    return up ? order : -order;
  }).forEach(row => body.append(row));
  head.dataset.up = up;
}));
"""


def _page(shown, title, note):
    numeric = [bool(shown[c].str.fullmatch(r"-?[\d.]+(e[-+]?\d+)?|–|inf").all()) for c in shown.columns]
    kind = ["" if each else ' class="text"' for each in numeric]

    def line(cells, tag):
        return (
            "<tr>" + "".join(f"<{tag}{k}>{html.escape(c)}</{tag}>" for k, c in zip(kind, cells, strict=True)) + "</tr>"
        )

    rows = "\n".join(line(row, "td") for row in shown.itertuples(index=False))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>\n<table><thead>"
        f"{line(list(shown.columns), 'th')}</thead><tbody>\n{rows}\n</tbody></table>\n<p>{html.escape(note)} "
        f"Click a column's head to sort by it.</p><script>{SORT}</script></body></html>\n"
    )


def table1(manifests, published):
    """Table 1: images and imbalance ratio (highest / lowest pooled class weight) before and after the filter.

    manifests: [(recipes, sequence, experiments, DataFrame)]. "Before" counts the images that show
    enough classes, as the paper does.
    """
    rows = []
    for recipes, sequence, experiments, frame in manifests:
        kept = frame["kept"]
        before = frame[~frame["reason"].fillna("").str.startswith("fewer")]
        ratios = [
            imbalance_ratio(row_pixels(part.to_dict("records")).sum(0)) if len(part) else np.nan
            for part in (before, frame[kept])
        ]
        rows.append(
            {
                "sequence": sequence,
                "experiments": " ".join(experiments),
                "labels": recipes["labels"],
                "images extracted": len(frame),
                "images with 4 classes": len(before),
                "images kept": int(kept.sum()),
                "ratio before": ratios[0],
                "ratio after": ratios[1],
                "relative reduction, %": 100 * (1 - ratios[1] / ratios[0]),
            }
        )
    shown = {row["sequence"] for row in rows}
    for row in published[published["sequence"].isin(shown)].to_dict("records"):
        before, after = row["class_imbalance_ratio_before"], row["class_imbalance_ratio_after"]
        rows.append(
            {
                "sequence": row["sequence"],
                "experiments": "paper",
                "labels": "apta",
                "images kept": row["images"],
                "ratio before": before,
                "ratio after": after,
                "relative reduction, %": 100 * (1 - after / before),
            }
        )
    frame = pd.DataFrame(rows)
    count = ["images extracted", "images with 4 classes", "images kept"]
    totals = frame.groupby("experiments", sort=False)[count].sum(min_count=1).reset_index()
    return pd.concat([frame, totals.assign(sequence="total")])


def _pooled(frame):
    return {name: float(value) for name, value in scores(frame[["tp", "fp", "fn"]].to_numpy().sum(0)).items()}


def _mean(values):
    """Mean of the finite values: images where a structure is absent or missed have no distance."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def class_scores(images, stack, settings):
    """The seven metrics of one class as `settings` (an experiment's `evaluation`) wants them.

    images: rows of metrics.csv of one class on the wanted grid; stack: the class's row of metrics_stack.csv.
    """
    pooled = _pooled(images)
    if settings["aggregation"] == "patients":
        by_patient = pd.DataFrame([_pooled(group) for _, group in images.groupby("patient")])
        result = {name: _mean(by_patient[name]) for name in pooled}
        patients = images.groupby("patient")
        surfaces = {
            "asd": _mean(patients["asd_pooled"].apply(_mean)),
            "nsd": _mean(patients["nsd_symmetric"].apply(_mean)),
        }
    else:
        result = dict(pooled)
        surfaces = {"asd": _mean(images["asd_pooled"]), "nsd": _mean(images["nsd_symmetric"])}
    if settings["surface"] == "stack":
        surfaces = {"asd": stack["asd"], "nsd": stack["nsd"]}
    if settings["dice"] == "soft":
        result["dice"] = _mean(images["soft_dice"])
    return {**result, **surfaces, "dice pooled": pooled["dice"], "missed": int(images["missed"].sum())}


def how(settings):
    """One phrase for how an experiment's row came about."""
    surface = "ASD, NSD over the test stack (artefact)" if settings["surface"] == "stack" else "ASD, NSD per slice"
    mean = "pooled" if settings["aggregation"] == "pooled" else "mean over patients"
    return f"{mean}, {settings['dice']} Dice, {surface}, " + ("px" if settings["grid"] == "network" else "mm")


def table2(runs, published):
    """Table 2: sequence x class x seven metrics for each experiment, the paper's rows first.

    runs: [(experiment, sequence, evaluation settings, metrics, stack)]. Where an experiment has several folds or
    seeds, its rows are their means, and columns `sd` hold the standard deviations.
    """
    rows = [{**row, "experiment": "paper"} for row in published.to_dict("records")]
    each = []
    for experiment, sequence, settings, images, stack in runs:
        images = images[images["grid"] == settings["grid"]]
        for name in CLASSES:
            part = images[images["class"] == name]
            values = class_scores(part, stack.set_index("class").loc[name], settings)
            values |= {"images": part.groupby(["volume", "index"]).ngroups, "patients": part["patient"].nunique()}
            each.append({"sequence": sequence, "class": name, "experiment": experiment, "how": how(settings), **values})
    frame = pd.DataFrame(each)
    keys = ["sequence", "class", "experiment", "how"]
    grouped = frame.groupby(keys, sort=False)
    ours = grouped.agg("mean").assign(trainings=grouped.size()).reset_index()
    several = int(ours["trainings"].max()) > 1
    if several:
        spread = grouped[list(METRICS)].std().add_suffix(" sd").reset_index(drop=True)
        ours = pd.concat([ours, spread], axis=1)
    shown = list(ours["sequence"].unique())
    rows = [row for row in rows if row["sequence"] in shown]
    frame = pd.concat([pd.DataFrame(rows).assign(how="as printed"), ours])
    columns = ["sequence", "class", "experiment", *METRICS, "dice pooled", "missed", "images", "patients"]
    columns += ["trainings", *(f"{name} sd" for name in METRICS)] if several else []
    return order(frame)[[*columns, "how"]]


def order(frame):
    """Rows of Table 2 by sequence, class and experiment, each as it first appears; classes as numbered."""
    place = {name: i for i, name in enumerate(dict.fromkeys([*frame["sequence"], *CLASSES, *frame["experiment"]]))}
    return frame.sort_values(["sequence", "class", "experiment"], key=lambda c: c.map(place), kind="stable")


def summary(runs, table, about):
    """One row an experiment and sequence: macro Dice, and what it was trained and tested on.

    Macro Dice: mean over classes 1-3 of the Dice pooled over all test slices.
    """
    rows = []
    for experiment, sequence in dict.fromkeys((run[0], run[1]) for run in runs):
        part = table[(table["experiment"] == experiment) & (table["sequence"] == sequence)].set_index("class")
        trainings = about[experiment, sequence]
        rows.append(
            {
                "experiment": experiment,
                "sequence": sequence,
                "trained on": trainings[0]["trained_on"],
                "network": trainings[0]["settings"]["network"]["name"],
                "macro Dice": part.loc[list(FOREGROUND), "dice pooled"].mean(),
                "test images": part["images"].iloc[0],
                "test patients": part["patients"].iloc[0],
                "training images": np.mean([each["images"]["train"] for each in trainings]),
                "best epoch": np.mean([each["best_epoch"] for each in trainings]),
                "trainings": len(trainings),
            }
        )
    return pd.DataFrame(rows)


def leakage(shares, table, copied):
    """One row an experiment and sequence: what training knew of the test set, and what copying gets.

    shares: {(experiment, sequence): DataFrame of leakage.csv rows}; table, copied: table2's frame for
    the networks and for the copied masks.
    """
    rows = []
    for (experiment, sequence), known in shares.items():
        row = {"experiment": experiment, "sequence": sequence, **known.mean(numeric_only=True).to_dict()}
        for name, frame in (("network", table), ("copied mask", copied)):
            part = frame[(frame["experiment"] == experiment) & (frame["sequence"] == sequence)].set_index("class")
            row |= {f"{name}: {k}": part.loc[k, "dice pooled"] for k in FOREGROUND}
            row[f"{name}: macro Dice"] = part.loc[list(FOREGROUND), "dice pooled"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def across(runs):
    """Pooled Dice of each network on each sequence it was tested on: a row an experiment, training and test sequence.

    runs: [(experiment, trained on, tested on, metrics)]; folds and seeds are averaged.
    """
    rows = []
    for experiment, trained_on, tested_on, images in runs:
        row = {"experiment": experiment, "trained on": trained_on, "tested on": tested_on}
        row |= {name: _pooled(images[images["class"] == name])["dice"] for name in FOREGROUND}
        row |= {"macro Dice": np.mean([row[name] for name in FOREGROUND])}
        rows.append({**row, "test images": images.groupby(["volume", "index"]).ngroups})
    return pd.DataFrame(rows).groupby(["experiment", "trained on", "tested on"], sort=False).mean().reset_index()


def table3(table, runs3d, paper, systems):
    """Table 3: the paper's comparison with nnU-Net, with a column that says what may be compared.

    table: table2's frame; runs3d: {experiment: DataFrame of metrics_3d}.
    """
    rows = []
    for row in paper.to_dict("records"):
        unit = "px" if row["metric"] == "asd" else ""
        rows.append(
            {"class": row["class"], "metric": row["metric"], "system": "paper, t2_SPACE", "value": row["proposed"]}
            | {"unit": unit, "grid": "2-D, px", "data": "slices at random; leaks", "source": "the paper, Table 3"}
        )
    rows += systems.to_dict("records")
    for row in table[table["experiment"] != "paper"].to_dict("records"):
        if row["class"] == "background":
            continue
        length = "mm" if row["how"].endswith("mm") else "px"
        for metric in ("dice", "iou", "asd", "nsd"):
            rows.append(
                {"class": row["class"], "metric": metric, "system": f"{row['experiment']}, {row['sequence']}"}
                | {"value": row[metric], "unit": length if metric == "asd" else "", "grid": f"2-D, {length}"}
                | {"data": "this run's test set", "source": row["how"]}
            )
    for (experiment, sequence), volumes in runs3d.items():
        for name, part in volumes.groupby("class", sort=False):
            for metric, column in (("dice", "dice"), ("asd", "asd_mm")):
                value = _mean(part.groupby("patient")[column].apply(_mean))
                rows.append(
                    {"class": name, "metric": metric, "system": f"{experiment}, {sequence}", "value": value}
                    | {"unit": "mm" if metric == "asd" else "", "grid": "3-D", "data": "this run's test set"}
                    | {"source": "whole structures, mean over patients"}
                )
    frame = pd.DataFrame(rows)
    comparable = {
        "3-D": "3-D rows of the same metric (other patients; nnU-Net and IIS are scored per instance)",
        "2-D, mm": "2-D rows in mm",
        "2-D, px": "2-D rows in px of the same protocol only",
    }
    frame["comparable with"] = frame["grid"].map(comparable)
    frame["value"] = frame["value"].astype(float)
    order = {name: i for i, name in enumerate([*CLASSES, "dice", "iou", "asd", "nsd", "detection"])}
    return frame.sort_values(
        ["class", "metric", "grid"], key=lambda c: c.map(order) if c.name != "grid" else c, kind="stable"
    )[["class", "metric", "system", "value", "unit", "grid", "comparable with", "data", "source"]]
