"""Compare the paper's numbers with ours, experiments with each other, and the paper with its own formulas."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .. import CLASSES
from ..measures.intervals import holm, intervals, paired_test
from .tables import AGGREGATIONS, FOREGROUND, METRICS, aggregate, class_interval, class_scores, left_out, patient_sums

Settings = Mapping[str, Any]
Row = dict[str, Any]
Run = tuple[str, str, Settings, pd.DataFrame]  # experiment, sequence, evaluation settings, metrics
Classes = dict[str, pd.DataFrame]  # metrics by class

# common settings to compare experiments whose own evaluation settings differ
COMMON = {"grid": "network", "dice": "hard", "surface": "slice", "aggregation": "pooled"}
HALF = 0.00005  # largest error of rounding to four decimals


def _by_class(runs: Iterable[Run]) -> dict[tuple[str, str], tuple[Settings, Classes]]:
    """{(experiment, sequence): (settings, {class: metrics of all folds and seeds})}, on all grids."""
    found: dict[tuple[str, str], tuple[Settings, list[pd.DataFrame]]] = {}
    for experiment, sequence, settings, images in runs:
        found.setdefault((experiment, sequence), (settings, []))[1].append(images)
    return {
        key: (settings, {str(name): part for name, part in pd.concat(parts).groupby("class", sort=False)})
        for key, (settings, parts) in found.items()
    }


def _on(images: pd.DataFrame, grid: str) -> pd.DataFrame:
    return images[images["grid"] == grid]


def interval_table(runs: Iterable[Run]) -> pd.DataFrame:
    """95% intervals over the test patients for Table 2's cells, as each experiment aggregates them.

    runs: [(experiment, sequence, evaluation settings, metrics)]; folds and seeds are pooled.
    """
    rows = []
    for (experiment, sequence), (settings, classes) in _by_class(runs).items():
        for name in CLASSES:
            images = _on(classes[name], settings["grid"])
            row: Row = {"sequence": sequence, "class": name, "experiment": experiment}
            row["patients"] = images["patient"].nunique()
            found = class_interval(images, settings)
            for metric in (metric for metric in METRICS if metric in found):
                row[f"{metric} low"], row[f"{metric} high"] = found[metric]
            rows.append(row | {"aggregated": AGGREGATIONS[settings["aggregation"]]})
    frame = pd.DataFrame(rows)
    return frame[[*(name for name in frame if name != "aggregated"), "aggregated"]]


def variants(runs: Iterable[Run], stacks: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """Every variant of the metrics, on each grid and aggregated each way, with what each leaves out.

    stacks: {(experiment, sequence): rows of metrics_stack.csv}, the mean over trainings: ASD and NSD of the whole test
    stack as one volume, in each order.
    """
    rows = []
    for (experiment, sequence), (_, classes) in _by_class(runs).items():
        for name in CLASSES:
            for grid, images in classes[name].groupby("grid", sort=False):
                sums = patient_sums(images)
                for aggregation, words in AGGREGATIONS.items():
                    row: Row = {"sequence": sequence, "class": name, "experiment": experiment}
                    row |= {"unit": images["unit"].iloc[0], "aggregated": words}
                    row |= {metric: float(value) for metric, value in aggregate(sums, aggregation).items()}
                    rows.append({**row, **left_out(images), "images": images.groupby(["volume", "index"]).ngroups})
                    rows[-1]["grid"] = grid
            for order, found in _of_class(stacks.get((experiment, sequence)), name):
                row = {"sequence": sequence, "class": name, "experiment": experiment, "unit": "px", "grid": "network"}
                row |= {"aggregated": f"stack, {order}", "asd_mean_of_means": found["asd"].mean()}
                rows.append({**row, "nsd_mean_of_means": found["nsd"].mean()})
    return pd.DataFrame(rows)


def _of_class(stack: pd.DataFrame | None, name: str) -> Iterable[tuple[Any, pd.DataFrame]]:
    return [] if stack is None else stack[stack["class"] == name].groupby("order", sort=False)


def _flat(settings: Settings, prefix: str = "") -> Row:
    flat: Row = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def changes(before: Settings, after: Settings, shown: int = 3) -> str:
    """Differences of two experiments as text: up to `shown` keys with values, or else the names of their groups."""
    old, new = _flat(before), _flat(after)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if len(keys) <= shown:
        return ", ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys)
    return ", ".join(dict.fromkeys(key.partition(".")[0] for key in keys))


def _reported(table: pd.DataFrame, experiment: str, sequence: str, classes: Sequence[str]) -> Row | None:
    """A ladder row with the values of an experiment in Table 2, or None if it is not there."""
    part = table[(table["experiment"] == experiment) & (table["sequence"] == sequence) & table["class"].isin(classes)]
    if not len(part):
        return None
    how = part["how"].iloc[0]
    unit = "mm" if how.endswith("mm") else "px"
    return {"experiment": experiment, **part[["dice", "asd", "nsd"]].mean(), "unit": unit, "changed": how}


def _on_one_yardstick(experiment: str, images: Classes, classes: Sequence[str]) -> Row:
    """A ladder row with the values that the settings COMMON give."""
    scores = pd.DataFrame([class_scores(_on(images[name], "network"), None, COMMON) for name in classes])
    return {"experiment": experiment, **scores[["dice", "asd", "nsd"]].mean(), "unit": "px"}


def _climb(measured: list[Row], settings: Mapping[str, Settings]) -> list[Row]:
    """Number the rows of _on_one_yardstick and describe how each differs from the one before."""
    measured[0]["changed"] = "pooled hard Dice, ASD and NSD a slice: the yardstick of all steps"
    for before, row in pairwise(measured):
        row |= {f"{metric} change": row[metric] - before[metric] for metric in ("dice", "asd")}
        row["changed"] = changes(settings[before["experiment"]], settings[row["experiment"]])
    return [{"step": str(place), **row} for place, row in enumerate(measured)]


def ladder(
    runs: Iterable[Run], steps: Sequence[str], settings: Mapping[str, Settings], table: pd.DataFrame
) -> pd.DataFrame:
    """What each step from the paper's protocol to the sound one costs, class by class.

    steps: experiments in order. settings: {experiment: complete settings}. table: Table 2. The rows in between
    share the settings COMMON (argmax on the network grid, pooled Dice, ASD per slice in px), so that a row differs from
    the one above only by its step. The first and the last rows hold values as printed and as reported.
    """
    classes_of = _by_class(runs)
    rows = []
    for sequence in dict.fromkeys(sequence for _, sequence in classes_of):
        present = [name for name in steps if (name, sequence) in classes_of]
        if not present:
            continue
        for name in (*FOREGROUND, "mean of the three"):
            wanted = (name,) if name in FOREGROUND else FOREGROUND
            measured = [_on_one_yardstick(each, classes_of[each, sequence][1], wanted) for each in present]
            ends = [_reported(table, each, sequence, wanted) for each in ("paper", present[0], present[-1])]
            printed, first, last = (end and {"step": "as reported", **end} for end in ends)
            printed = printed and {**printed, "step": "printed"}  # None for a sequence that the paper does not have
            lines = [printed, first, *_climb(measured, settings), last if len(present) > 1 else None]
            rows += [{"sequence": sequence, "class": name, **line} for line in lines if line]
    columns = ["sequence", "class", "step", "experiment", "dice", "dice change", "asd", "asd change", "nsd", "unit"]
    return pd.DataFrame(rows, columns=[*columns, "changed"])


def patient_scores(classes: Classes, grid: str) -> dict[str, pd.DataFrame]:
    """Pooled Dice and mean ASD of each patient on a grid: {metric: DataFrame [patients, classes]}.

    Column `mean`: over the foreground classes.
    """
    dice, asd = {}, {}
    for name in FOREGROUND:
        images = _on(classes[name], grid)
        sums = {key: values[:, None] for key, values in patient_sums(images).items()}
        each = aggregate(sums, "pooled")  # every patient by itself
        patients = np.unique(images["patient"]).astype(str)  # in the order of patient_sums
        dice[name], asd[name] = (pd.Series(each[metric], patients) for metric in ("dice", "assd"))
    return {
        metric: pd.DataFrame(values).assign(mean=lambda frame: frame.mean(axis=1))
        for metric, values in (("dice", dice), ("asd", asd))
    }


def _mean_interval(values: ArrayLike, scale: str) -> tuple[float, float, float, int]:
    """(mean, low, high, number) of values, one per patient, without NaN."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return np.nan, np.nan, np.nan, 0
    low, high = intervals(lambda drawn: {"mean": drawn["x"].mean(-1)}, {"x": known}, scale)["mean"]
    return known.mean(), low, high, len(known)


def ablation(runs: Iterable[Run], baseline: str, splits: Mapping[str, str]) -> pd.DataFrame:
    """Each experiment against the baseline: differences of the same patients' scores, with a 95% interval and a
    paired test, its p corrected for the number of tests in the table.

    splits: {experiment: kind of split}. Scores are on the network grid, where every experiment has them. Patients who
    are in the test set of only one of the two are left out.
    """
    classes_of = _by_class(runs)
    rows = []
    for (experiment, sequence), (_, classes) in classes_of.items():
        if experiment == baseline or (baseline, sequence) not in classes_of:
            continue
        base = patient_scores(classes_of[baseline, sequence][1], "network")
        for metric, frame in patient_scores(classes, "network").items():
            both = frame.index.intersection(base[metric].index)
            for name in (*FOREGROUND, "mean"):
                pairs = frame.loc[both, name] - base[metric].loc[both, name]
                mean, low, high, number = _mean_interval(pairs, "difference")
                row: Row = {"sequence": sequence, "class": name, "experiment": experiment, "baseline": baseline}
                row |= {"metric": metric, "difference": mean, "low": low, "high": high, "patients": number}
                rows.append({**row, "p": paired_test(pairs), "split": splits[experiment]})
    frame = pd.DataFrame(rows, columns=ABLATION)
    frame["p corrected"] = holm(frame["p"].astype(float).tolist())
    frame["verdict"] = np.where(frame["difference"].astype(float) > 0, "higher", "lower")
    frame.loc[~(frame["p corrected"].astype(float) < 0.05), "verdict"] = "no telling"
    return frame


ABLATION = ["sequence", "class", "experiment", "baseline", "metric", "difference", "low", "high", "patients"]
ABLATION += ["p", "p corrected", "verdict", "split"]
SUBGROUPS = ["sequence", "experiment", "by", "group", "patients", *FOREGROUND, "mean", "low", "high"]


def groups_of(overview: pd.DataFrame | None) -> dict[tuple[str, str], str]:
    """Groups of patients: {(volume, property): group} from overview.csv as text, or {} without it.

    Properties: scanner, field strength, sex, and age in bands of twenty years (SPIDER's `birth_date` holds an age).
    """
    if overview is None:
        return {}
    known = overview.rename(columns=str.strip).fillna("").astype(str).apply(lambda column: column.str.strip())
    key = "new_file_name" if "new_file_name" in known else "volume"
    groups: dict[tuple[str, str], str] = {}
    for row in known.to_dict("records"):
        scanner = f"{row.get('Manufacturer', '')} {row.get('ManufacturerModelName', '')}".strip()
        age = pd.to_numeric(row.get("birth_date", ""), errors="coerce")
        band = f"{int(age // 20 * 20)}-{int(age // 20 * 20) + 19}" if 0 < age < 120 else ""
        field = f"{row['MagneticFieldStrength']} T" if row.get("MagneticFieldStrength") else ""
        values = {"scanner": scanner, "field strength": field, "sex": row.get("sex", ""), "age": band}
        groups |= {(row[key], name): value for name, value in values.items() if value}
    return groups


def subgroups(runs: Iterable[Run], overview: pd.DataFrame | None) -> pd.DataFrame:
    """Dice by scanner, field strength, sex and age: mean over the patients of a group, with a 95% interval."""
    groups = groups_of(overview)
    rows = []
    for (experiment, sequence), (_, classes) in _by_class(runs).items():
        dice = patient_scores(classes, "network")["dice"]
        volumes = next(iter(classes.values())).drop_duplicates("patient")
        volume_of = {
            str(patient): volume for patient, volume in zip(volumes["patient"], volumes["volume"], strict=True)
        }
        for by in ("scanner", "field strength", "sex", "age"):
            group = pd.Series({patient: groups.get((volume_of[patient], by)) for patient in dice.index}).dropna()
            for value, members in sorted(group.groupby(group).groups.items()):
                part = dice.loc[members]
                mean, low, high, number = _mean_interval(part["mean"], "share")
                row = {"sequence": sequence, "experiment": experiment, "by": by, "group": value, "patients": number}
                rows.append({**row, **part[list(FOREGROUND)].mean(), "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=SUBGROUPS)


def paper_comparison(
    table1: pd.DataFrame,
    table2: pd.DataFrame,
    table3: pd.DataFrame,
    experiments: Sequence[str] = ("released", "sound"),
) -> pd.DataFrame:
    """Each cell of the paper's tables: printed, from `released`, from `sound`, and the differences to the first.

    table1, table2, table3: our tables as written, which include the paper's rows.
    """
    rows = []

    def add(
        table: str,
        sequence: Hashable,
        name: Hashable,
        metric: str,
        printed: Any,
        made: Mapping[str, Any],
        units: Iterable[str],
    ) -> None:
        row = {"table": table, "sequence": sequence, "class": name, "metric": metric, "printed": printed}
        for experiment in experiments:
            value = made.get(experiment, np.nan)
            row |= {experiment: value, f"{experiment} - printed": value - printed}
        rows.append({**row, "units": ", ".join(dict.fromkeys(units))})

    sequence: Hashable  # the type of a group's key in pandas' stubs
    for sequence, part in table1[table1["sequence"] != "total"].groupby("sequence", sort=False):
        printed = part[part["experiments"] == "paper"]
        for metric in ("images kept", "ratio before", "ratio after") if len(printed) else ():
            made = {e: row[metric] for row in part.to_dict("records") for e in row["experiments"].split()}
            add("1", sequence, "", metric, printed[metric].iloc[0], made, [""])
    for (sequence, name), part in table2.groupby(["sequence", "class"], sort=False):
        part = part.set_index("experiment")
        for metric in METRICS if "paper" in part.index else ():
            units = ["px", *("mm" if how.endswith("mm") else "px" for how in part["how"][1:])]
            made = {experiment: part.loc[experiment, metric] for experiment in experiments if experiment in part.index}
            add("2", sequence, name, metric, part.loc["paper", metric], made, units if metric == "asd" else [""])
    for row in table3[table3["system"] == "paper, t2_SPACE"].to_dict("records"):
        part = table3[(table3["class"] == row["class"]) & (table3["metric"] == row["metric"])]
        made = {
            experiment: part.loc[(part["system"] == f"{experiment}, t2_SPACE") & part["measured"].str.startswith("2-D")]
            for experiment in experiments
        }
        made = {experiment: found.iloc[0] for experiment, found in made.items() if len(found)}
        units = [unit for unit in (row["unit"], *(found["unit"] for found in made.values())) if isinstance(unit, str)]
        made = {experiment: found["value"] for experiment, found in made.items()}
        add("3", "t2_SPACE", row["class"], row["metric"], row["value"], made, units)
    return pd.DataFrame(rows)


def _implied(formula: Callable[..., float], *values: float) -> tuple[float, float]:
    """(lowest, highest) result of a formula that increases with each value, if each was rounded to four decimals."""
    return formula(*(value - HALF for value in values)), formula(*(value + HALF for value in values))


IDENTITIES: dict[str, tuple[str, Callable[..., float], tuple[str, ...]]] = {
    "F1 = 2 P R / (P + R)": ("f1", lambda p, r: 2 * p * r / (p + r), ("precision", "recall")),
    "F1 = 2 IoU / (1 + IoU)": ("f1", lambda iou: 2 * iou / (1 + iou), ("iou",)),
    "Dice = F1": ("dice", lambda f1: f1, ("f1",)),
}


def paper_audit(published: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Whether the paper's printed rows obey the identities of the paper's own formulas (section 3.3).

    published: {"table1", "table2", "table3": DataFrame}. An identity holds where rounding to four decimals can
    explain the difference.
    """
    rows = []

    def add(table: str, place: str, identity: str, printed: float, low: float, high: float, half: float = HALF) -> None:
        row: Row = {"table": table, "row": place, "identity": identity, "printed": printed, "implied": (low + high) / 2}
        row["difference"] = printed - row["implied"]
        rows.append({**row, "holds": bool(printed + half >= low and printed - half <= high)})

    for row in published["table2"].to_dict("records"):
        for identity, (name, formula, given) in IDENTITIES.items():
            low, high = _implied(formula, *(row[key] for key in given))
            add("2", f"{row['sequence']}, {row['class']}", identity, row[name], low, high)
    for row in published["table1"].to_dict("records"):
        before, after = row["class_imbalance_ratio_before"], row["class_imbalance_ratio_after"]
        claim = row["relative_reduction_percent"]
        lowest, highest = (100 * (1 - (after + a) / (before + b)) for a, b in ((0.5, -0.5), (-0.5, 0.5)))
        add("1", row["sequence"], "reduction = 1 - after / before, in %", claim, lowest, highest, 0.005)
    second = published["table2"].set_index(["sequence", "class"])
    for row in published["table3"].to_dict("records"):
        if row["metric"] in second:
            value = second.loc[("t2_SPACE", row["class"]), row["metric"]]
            add("3", f"t2_SPACE, {row['class']}", f"{row['metric']} as in Table 2", row["proposed"], value, value, 1e-9)
    return pd.DataFrame(rows)
