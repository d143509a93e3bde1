"""The paper's tables, made from our metrics, together with the paper's own rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import CLASSES, FOREGROUND
from ..images.weights import imbalance_ratio, row_pixels
from ..learning.splits import VALIDATED_ON
from ..measures.evaluation import SURFACES
from ..measures.intervals import intervals
from ..measures.metrics import DETECTED, scores

METRICS = ("iou", "dice", "asd", "nsd", "precision", "recall", "f1")

Settings = Mapping[str, Any]
Row = dict[str, Any]
Key = tuple[str, str]  # experiment, sequence
Run = tuple[str, str, Settings, pd.DataFrame, pd.DataFrame | None]  # experiment, sequence, evaluation, metrics, stack
Sums = Mapping[str, NDArray[np.float64]]  # of patient_sums


def table1(
    manifests: Iterable[tuple[Mapping[str, str], str, Sequence[str], pd.DataFrame]], published: pd.DataFrame
) -> pd.DataFrame:
    """Table 1: images and imbalance ratio (highest / lowest pooled class weight) before and after the filter.

    manifests: [(recipes, sequence, experiments, DataFrame)]. "Before" counts the images that show
    enough classes, as the paper does.
    """
    rows = []
    for recipes, sequence, experiments, frame in manifests:
        kept = frame["kept"]
        before = frame[~frame["reason"].str.startswith("fewer")]
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
                "images with enough classes": len(before),
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
    count = ["images extracted", "images with enough classes", "images kept"]
    totals = frame.groupby("experiments", sort=False)[count].sum(min_count=1).reset_index()
    return pd.concat([frame, totals.assign(sequence="total")])


def _pooled_dice(frame: pd.DataFrame) -> float:
    """Dice of rows of metrics.csv, pooled."""
    return float(scores(frame[["tp", "fp", "fn"]].to_numpy().sum(0))["dice"])


PER_IMAGE = ("iou", "dice", "precision", "recall", "f1", "soft_dice", *SURFACES)
AGGREGATIONS = {"pooled": "pooled", "images": "mean over images", "patients": "mean over patients"}


def patient_sums(images: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Sums of one class's rows over each patient, from which every aggregation follows.

    Returns {name: float [patients]}: `tp`, `fp`, `fn`, and for each metric of an image the sum of its finite values
    and, as `metric n`, their number.
    """
    values = images[list(PER_IMAGE)].astype(float).replace([np.inf, -np.inf], np.nan)
    frame = pd.concat([images[["tp", "fp", "fn"]], values.fillna(0), values.notna().add_suffix(" n")], axis=1)
    sums = frame.groupby(images["patient"].to_numpy()).sum()
    return {str(name): sums[name].to_numpy(float) for name in sums}


def aggregate(sums: Sums, aggregation: str) -> dict[str, NDArray[np.float64]]:
    """Metrics of one class from patient_sums, whose arrays may be [patients] or [draws, patients]: {metric: [...]}.

    `pooled`: overlap from counts over all images, distances as means over images; `images`: means over images;
    `patients`: mean over patients of each one's pooled overlap and mean distance. Absent values are left out.
    """

    def divide(above: NDArray[np.float64], below: NDArray[np.number]) -> NDArray[np.float64]:
        return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return divide(np.nansum(values, -1), np.isfinite(values).sum(-1))

    counts = np.stack([sums[name] for name in ("tp", "fp", "fn")], -1)
    if aggregation == "patients":
        result = {name: mean(values) for name, values in scores(counts).items()}
        other = [name for name in PER_IMAGE if name not in result]
        return result | {name: mean(divide(sums[name], sums[f"{name} n"])) for name in other}
    result = {name: divide(sums[name].sum(-1), sums[f"{name} n"].sum(-1)) for name in PER_IMAGE}
    return result | (scores(counts.sum(-2)) if aggregation == "pooled" else {})


def chosen(values: Sums, settings: Settings) -> dict[str, NDArray[np.float64]]:
    """The metrics that an experiment's `evaluation` chooses from all variants, except ASD and NSD of a stack."""
    found = {name: values[name] for name in ("iou", "dice", "precision", "recall", "f1")}
    if settings["dice"] == "soft":
        found["dice"] = values["soft_dice"]
    if settings["surface"] == "slice":
        columns = ("assd_area", "nsd_area") if settings["elements"] == "area" else ("assd", "nsd_symmetric")
        found |= {metric: values[column] for metric, column in zip(("asd", "nsd"), columns, strict=True)}
    return found


def class_scores(
    images: pd.DataFrame, stack: Mapping[str, float] | pd.Series | None, settings: Settings
) -> dict[str, float]:
    """The seven metrics of one class that `settings` (an experiment's `evaluation`) choose, and what they leave out.

    images: rows of metrics.csv of one class on the wanted grid; stack: the class's row of metrics_stack.csv.
    `detection`: among the images that show the class, the share in which the prediction reaches a Dice of 0.1.
    """
    values = aggregate(patient_sums(images), settings["aggregation"])
    result = {name: float(value) for name, value in chosen(values, settings).items()}
    if settings["surface"] == "stack":
        assert stack is not None  # evaluated with these settings
        # infinite where the class was never predicted, which `missed` tells
        result |= {"asd": stack["asd"] if np.isfinite(stack["asd"]) else np.nan, "nsd": stack["nsd"]}
    return {**result, "dice pooled": _pooled_dice(images), **left_out(images)}


def left_out(images: pd.DataFrame) -> dict[str, float]:
    """For one class: share of the images showing it in which it is detected; numbers of images that miss or lack it, an
    image once, however many trainings were tested on it."""
    shown = images[images["tp"] + images["fn"] > 0]
    found = float((shown["dice"] >= DETECTED).mean()) if len(shown) else float("nan")
    nowhere = images["tp"] + images["fp"] + images["fn"] == 0
    missed, absent = (
        images.loc[where, ["volume", "index"]].drop_duplicates() for where in (images["missed"].astype(bool), nowhere)
    )
    return {"detection": found, "missed": len(missed), "absent": len(absent)}


def class_interval(images: pd.DataFrame, settings: Settings) -> dict[str, tuple[float, float]]:
    """95% intervals over patients of class_scores' metrics: {metric: (low, high)}."""
    return intervals(
        lambda sums: chosen(aggregate(sums, settings["aggregation"]), settings),
        patient_sums(images),
        {metric: "length" if metric == "asd" else "share" for metric in METRICS},
    )


WITHIN = "NSD within"


def how(settings: Settings) -> str:
    """One phrase that says how an experiment's row was computed."""
    surface = "ASD, NSD over the test stack (artefact)" if settings["surface"] == "stack" else "ASD, NSD per slice"
    surface += " by area" if settings["elements"] == "area" else ""
    surface += f", {WITHIN} {settings['tau']:g}" if settings.get("tau", 1) != 1 else ""  # of what `unit_of` says
    mean = AGGREGATIONS[settings["aggregation"]]
    return f"{mean}, {settings['dice']} Dice, {surface}, " + ("px" if settings["grid"] == "network" else "mm")


def unit_of(metric: str, told: str | Settings) -> str:
    """Unit of a metric's value, or NSD's tolerance, without its number if that is 1; empty for the others. told:
    settings, or the phrase on them of `how`, which ends in the unit of distances."""
    if metric not in ("asd", "nsd"):
        return ""
    phrase = told if isinstance(told, str) else how(told)
    unit = "mm" if phrase.endswith("mm") else "px"
    _, other, tolerance = phrase.partition(f"{WITHIN} ")
    return f"{tolerance.split(',')[0]} {unit}" if metric == "nsd" and other else unit


def mean_of_classes(rows: pd.DataFrame) -> dict[str, float]:
    """Mean `dice` and `asd` of rows, one per class, over the classes that the images show or the prediction invents, so
    that have a Dice. No mean ASD where one of them has none, since it was never found: a mean over the others is
    another quantity."""
    known = rows.reindex(columns=["how", "dice pooled", "detection"])
    printed = known["how"] == "as printed"
    there = known["dice pooled"].notna() | printed  # the release's soft Dice is 1 where nothing is
    shown = there & (known["detection"].notna() | printed)  # by the truth
    return {"dice": float(rows["dice"][there].mean()), "asd": float(rows["asd"][shown].mean(skipna=False))}


MEAN = "mean"  # over the classes, background included


def _mean_row(rows: Sequence[Mapping[Any, Any]]) -> Row:
    """Mean IoU, average Dice, overall F1, ... of rows, one per class (paper section 3.3: over all four)."""
    frame = pd.DataFrame(rows)
    means = frame[[name for name in (*METRICS, "dice pooled", "detection") if name in frame]].mean()
    counts = frame[[name for name in ("missed", "absent") if name in frame]].sum()
    return {**rows[0], "class": MEAN, **means, **counts, **mean_of_classes(frame)}


def _class_rows(
    experiment: str, sequence: str, settings: Settings, images: pd.DataFrame, stack: pd.DataFrame | None
) -> list[Row]:
    """Rows of Table 2 of one training."""
    images = images[images["grid"] == settings["grid"]]
    rows = []
    for name in CLASSES:
        part = images[images["class"] == name]
        # Any: to pandas' stubs it may be a frame
        of_class: Any = None if stack is None else stack.set_index("class").loc[name]
        values = class_scores(part, of_class, settings)
        values |= {"images": part.groupby(["volume", "index"]).ngroups, "patients": part["patient"].nunique()}
        rows.append({"sequence": sequence, "class": name, "experiment": experiment, "how": how(settings), **values})
    return [*rows, _mean_row(rows)]


def _counted(runs: Iterable[Run], experiment: str, sequence: str) -> tuple[int, int]:
    """How many different images and patients the trainings of an experiment were tested on."""
    frames = [
        images[images["grid"] == how["grid"]] for e, s, how, images, _ in runs if (e, s) == (experiment, sequence)
    ]
    tested = pd.concat([frame[["patient", "volume", "index"]] for frame in frames]).drop_duplicates()
    return len(tested), tested["patient"].nunique()


def table2(runs: Iterable[Run], published: pd.DataFrame) -> pd.DataFrame:
    """Table 2: sequence x class x seven metrics for each experiment, the paper's rows first; then means of classes.

    runs: [(experiment, sequence, evaluation settings, metrics, stack)]. Where an experiment has several folds or
    seeds, its rows are their means (no ASD where one of them never found the class), and columns `sd` hold the standard
    deviations; images and patients are of all of them together, an image or patient once, missed and absent their sums.
    """
    printed = published.assign(experiment="paper", how="as printed").to_dict("records")
    of_sequence = {row["sequence"]: [r for r in printed if r["sequence"] == row["sequence"]] for row in printed}
    runs = list(runs)
    frame = pd.DataFrame([row for run in runs for row in _class_rows(*run)])
    keys = ["sequence", "class", "experiment", "how"]
    frame["never found"] = frame["asd"].isna() & (frame["missed"] > 0) & frame["detection"].notna()
    grouped = frame.groupby(keys, sort=False)
    ours = grouped.agg("mean").assign(trainings=grouped.size()).reset_index()
    ours.loc[ours["never found"] > 0, "asd"] = np.nan  # in one of the trainings: the others' mean is another quantity
    several = int(ours["trainings"].max()) > 1
    together = {key: _counted(runs, *key) for key in {(run[0], run[1]) for run in runs}}
    of_row = [together[key] for key in zip(ours["experiment"], ours["sequence"], strict=True)]
    ours["images"], ours["patients"] = zip(*of_row, strict=True)
    for name in ("missed", "absent"):
        ours[name] = grouped[name].sum().to_numpy()
    if several:
        spread = grouped[list(METRICS)].std().add_suffix(" sd").reset_index(drop=True)
        spread.loc[ours["never found"] > 0, "asd sd"] = np.nan
        ours = pd.concat([ours, spread], axis=1)
    shown = [name for name in ours["sequence"].unique() if name in of_sequence]
    rows = [row for name in shown for row in (*of_sequence[name], _mean_row(of_sequence[name]))]
    columns = ["sequence", "class", "experiment", *METRICS, "dice pooled", "detection", "missed", "absent"]
    columns += ["images", "patients"]
    columns += ["trainings", *(f"{name} sd" for name in METRICS)] if several else []
    return order(pd.concat([pd.DataFrame(rows), ours]))[[*columns, "how"]]


def order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort Table 2 by sequence, class and experiment: classes by number, the others in order of first appearance."""
    names = dict.fromkeys([*frame["sequence"], *CLASSES, MEAN, *frame["experiment"]])
    place = {name: i for i, name in enumerate(names)}
    return frame.sort_values(["sequence", "class", "experiment"], key=lambda c: c.map(place), kind="stable")


def summary(runs: Iterable[Run], table: pd.DataFrame, about: Mapping[Key, Sequence[Settings]]) -> pd.DataFrame:
    """One row per experiment and sequence: macro Dice, and what it was trained and tested on.

    Macro Dice: mean over classes 1-3 of the Dice pooled over all test slices.
    """
    rows = []
    for experiment, sequence in dict.fromkeys((run[0], run[1]) for run in runs):
        part = table[(table["experiment"] == experiment) & (table["sequence"] == sequence)].set_index("class")
        row: Row = {"experiment": experiment, "sequence": sequence, **_trained(about.get((experiment, sequence), []))}
        row["macro Dice"] = part.loc[list(FOREGROUND), "dice pooled"].mean()
        row |= {"test images": part["images"].iloc[0], "test patients": part["patients"].iloc[0]}
        rows.append(row)
    return pd.DataFrame(rows, columns=SUMMARY)


SUMMARY = ["experiment", "sequence", "trained on", "split", "model chosen on", "network", "macro Dice", "test images"]
SUMMARY += ["test patients", "training images", "best epoch", "trainings"]
UNKNOWN = "not known: leaks cannot be excluded"


def _trained(trainings: Sequence[Settings]) -> Row:
    """What is known of the trainings of an experiment; next to nothing of another program's."""
    if not trainings:
        return {"trained on": UNKNOWN, "network": "another program"}
    split = trainings[0]["settings"]["split"]
    return {
        **{"trained on": trainings[0]["trained_on"], "split": split["kind"]},
        "model chosen on": f"{VALIDATED_ON.get(split['validation'], 'no')} set",
        "network": trainings[0]["settings"]["network"]["name"],
        "training images": np.mean([each["images"]["train"] for each in trainings]),
        "best epoch": np.mean([each["best_epoch"] for each in trainings]),
        "trainings": len(trainings),
    }


def leakage(
    shares: Mapping[Key, pd.DataFrame], runs: Iterable[Run], copies: Iterable[Run], published: pd.DataFrame
) -> pd.DataFrame:
    """One row per experiment and sequence: what training knew of the test set, and the Dice of copying; none of
    predictions of another program, of whose training nothing is known.

    shares: {(experiment, sequence): DataFrame of leakage.csv rows}; runs, copies: as table2 takes them, of the networks
    and of the copied masks, both on the network grid.
    """
    if not shares:
        return pd.DataFrame(columns=["experiment", "sequence", "measured"])
    rows, table, copied = [], table2(runs, published), table2(copies, published)
    for (experiment, sequence), known in shares.items():
        row = {"experiment": experiment, "sequence": sequence, **known.mean(numeric_only=True).to_dict()}
        for name, frame in (("network", table), ("copied mask", copied)):
            part = frame[(frame["experiment"] == experiment) & (frame["sequence"] == sequence)].set_index("class")
            row |= {f"{name}: {k}": part.loc[k, "dice pooled"] for k in FOREGROUND}
            row[f"{name}: macro Dice"] = part.loc[list(FOREGROUND), "dice pooled"].mean()
            row[f"{name}: ASD, px"] = mean_of_classes(part.loc[list(FOREGROUND)])["asd"]
        row |= {"test images": part["images"].iloc[0], "test patients": part["patients"].iloc[0]}
        rows.append({**row, "measured": part["how"].iloc[0]})
    return pd.DataFrame(rows)


ACROSS = ["experiment", "trained on", "tested on"]


def across(runs: Iterable[tuple[str, str, str, pd.DataFrame]]) -> pd.DataFrame:
    """Pooled Dice of each network on each sequence: one row per experiment, training sequence and test sequence.

    runs: [(experiment, trained on, tested on, metrics)]; folds and seeds are averaged, an image or patient counts once.
    """
    rows, tested = [], dict[tuple[str, str, str], list[pd.DataFrame]]()
    for experiment, trained_on, tested_on, images in runs:
        key = (experiment, trained_on, tested_on)
        tested.setdefault(key, []).append(images[["patient", "volume", "index"]])
        row: Row = dict(zip(ACROSS, key, strict=True))
        row |= {name: _pooled_dice(images[images["class"] == name]) for name in FOREGROUND}
        row["macro Dice"] = pd.Series([row[name] for name in FOREGROUND]).mean()  # of the classes that there are
        rows.append(row)
    table = pd.DataFrame(rows).groupby(ACROSS, sort=False).mean().reset_index()
    different = [pd.concat(frames).drop_duplicates() for frames in tested.values()]  # in the table's order
    counts = {"test images": [len(each) for each in different]}
    return table.assign(**counts, **{"test patients": [each["patient"].nunique() for each in different]})
