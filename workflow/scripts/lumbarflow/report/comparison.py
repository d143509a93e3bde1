"""Compare the paper's numbers with ours, experiments with each other, and the paper with its own formulas."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .. import CLASSES, FOREGROUND
from ..data import dataset
from ..measures.intervals import holm, intervals, paired_test
from . import frames
from .tables import (
    AGGREGATIONS,
    METRICS,
    aggregate,
    chosen,
    class_interval,
    class_scores,
    left_out,
    mean_of_classes,
    patient_sums,
    unit_of,
)

Settings = Mapping[str, Any]
Row = dict[str, Any]
Run = tuple[str, str, Settings, pd.DataFrame]  # experiment, sequence, evaluation settings, metrics
Classes = dict[str, pd.DataFrame]  # metrics by class

# One yardstick for every experiment, whatever its own evaluation: exact labels, millimetres on the grid of the source
# volume, all slices of the test volumes (of a split of slices: its test slices).
YARDSTICK = {"grid": "source", "dice": "hard", "surface": "slice", "elements": "voxels", "aggregation": "patients"}
COMPARED = ("iou", "dice", "asd", "precision", "recall", "f1")  # NSD has the tolerance of its experiment
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


def _reported(images: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The rows that an experiment's own evaluation uses."""
    return images[images["scored"] & (images["grid"] == settings["grid"])]


def _measured(images: pd.DataFrame) -> pd.DataFrame:
    """The rows that the yardstick uses."""
    return images[images["grid"] == YARDSTICK["grid"]]


def interval_table(runs: Iterable[Run]) -> pd.DataFrame:
    """95% intervals over the test patients: of Table 2's cells, as each experiment reports them, and by the yardstick.

    runs: [(experiment, sequence, evaluation settings, metrics)]; folds and seeds are pooled.
    """
    rows = []
    for (experiment, sequence), (settings, classes) in _by_class(runs).items():
        for name in CLASSES:
            ways = (
                ("as reported", METRICS, settings, _reported(classes[name], settings)),
                ("yardstick", COMPARED, YARDSTICK, _measured(classes[name])),
            )
            for measured, metrics, how, images in ways:
                sums = patient_sums(images)
                values, found = aggregate(sums, how["aggregation"]), class_interval(images, how)
                each = chosen(aggregate({key: of[:, None] for key, of in sums.items()}, "pooled"), how)  # by patient
                for metric in (metric for metric in metrics if metric in found):
                    row: Row = {"sequence": sequence, "class": name, "experiment": experiment, "measured": measured}
                    row |= {"metric": metric, "value": float(chosen(values, how)[metric])}
                    row |= {"low": found[metric][0], "high": found[metric][1]}
                    row |= {"patients": int(np.isfinite(each[metric]).sum())}
                    rows.append({**row, "unit": unit_of(metric, how), "aggregated": AGGREGATIONS[how["aggregation"]]})
    return pd.DataFrame(rows)


def variants(runs: Iterable[Run], stacks: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """Every variant of the metrics, on each grid and aggregated each way, with what each leaves out.

    stacks: {(experiment, sequence): rows of metrics_stack.csv}, the mean over trainings: ASD and NSD of the whole test
    stack as one volume, in each order.
    """
    rows = []
    for (experiment, sequence), (_, classes) in _by_class(runs).items():
        for name in CLASSES:
            scored = classes[name][classes[name]["scored"]]
            for grid, images in scored.groupby("grid", sort=False):
                sums = patient_sums(images)
                for aggregation, words in AGGREGATIONS.items():
                    row: Row = {"sequence": sequence, "class": name, "experiment": experiment}
                    row |= {"unit": images["unit"].iloc[0], "aggregated": words}
                    row |= {metric: float(value) for metric, value in aggregate(sums, aggregation).items()}
                    row |= {**left_out(images), "images": images.groupby(["volume", "index"]).ngroups}
                    rows.append({**row, "patients": images["patient"].nunique(), "grid": grid})
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


SHOWN = 3  # keys


def changes(before: Settings, after: Settings) -> str:
    """Differences of two experiments as text: up to SHOWN keys with values, or else the names of their groups."""
    old, new = _flat(before), _flat(after)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key) and key != "networks_of"]
    if len(keys) <= SHOWN:
        return ", ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys)
    return ", ".join(dict.fromkeys(key.partition(".")[0] for key in keys))


def _keys(images: pd.DataFrame) -> list[tuple[str, int]]:
    """(volume, index) of each row."""
    return list(zip(images["volume"], images["index"], strict=True))


def _slices_of(classes: Classes) -> set[tuple[str, int]]:
    """(volume, index) of the slices that the yardstick uses."""
    return set(_keys(_measured(classes[FOREGROUND[0]])))


def _rung(classes: Classes, names: Sequence[str]) -> Row:
    """Mean Dice and ASD of classes by the yardstick, and what they were measured on."""
    scores = pd.DataFrame([class_scores(_measured(classes[name]), None, YARDSTICK) for name in names])
    patients = _measured(classes[names[0]])["patient"].nunique()
    row = {**mean_of_classes(scores), "missed": int(scores["missed"].sum())}
    return {**row, "slices": len(_slices_of(classes)), "patients": patients}


def _printed(table: pd.DataFrame, experiment: str, sequence: str, classes: Sequence[str]) -> Row:
    """What an experiment, or the paper, reports in Table 2; empty if it is not there."""
    part = table[(table["experiment"] == experiment) & (table["sequence"] == sequence) & table["class"].isin(classes)]
    if not len(part):
        return {}
    reported = {f"reported {metric}": value for metric, value in mean_of_classes(part).items()}
    return {**reported, "reported unit": unit_of("asd", part["how"].iloc[0])}


LADDER = ["sequence", "class", "step", "experiment", "reported dice", "reported asd", "reported unit", "dice"]
LADDER += ["dice change", "asd, mm", "asd change, mm", "missed", "slices", "patients", "test slices", "changed"]


def ladder(
    runs: Iterable[Run], steps: Sequence[str], settings: Mapping[str, Settings], table: pd.DataFrame
) -> pd.DataFrame:
    """What each step from the paper's protocol to the sound one costs, class by class.

    steps: experiments in order; those without runs are left out, and if all are, every run is shown. settings:
    {experiment: complete settings}. table: Table 2. Columns `reported`: as the experiment reports itself; the others by
    the YARDSTICK, so that a row differs from the one above by its step alone, and, where `test slices` says so, by
    other test slices.
    """
    classes_of = _by_class(runs)
    rows = []
    for sequence in dict.fromkeys(sequence for _, sequence in classes_of):
        tested = [experiment for experiment, each in classes_of if each == sequence]
        present = [name for name in steps if name in tested] or tested
        for name in (*FOREGROUND, "mean of the three"):
            wanted = (name,) if name in FOREGROUND else FOREGROUND
            before: Row = {}
            if printed := _printed(table, "paper", sequence, wanted):
                rows.append({"sequence": sequence, "class": name, "step": "printed", "experiment": "paper", **printed})
            for place, experiment in enumerate(present):
                classes = classes_of[experiment, sequence][1]
                row: Row = {"sequence": sequence, "class": name, "step": str(place), "experiment": experiment}
                measured, kept = _rung(classes, wanted), _slices_of(classes)
                row |= {"dice": measured["dice"], "asd, mm": measured["asd"]}
                row |= {key: measured[key] for key in ("missed", "slices", "patients")}
                if before:
                    row["dice change"] = row["dice"] - before["dice"]
                    row["asd change, mm"] = row["asd, mm"] - before["asd, mm"]
                    row["test slices"] = "the same" if kept == before["kept"] else "others: unpaired"
                    row["changed"] = changes(settings[before["experiment"]], settings[experiment])
                rows.append({**row, **_printed(table, experiment, sequence, wanted)})
                before = {**row, "kept": kept}
    return pd.DataFrame(rows, columns=LADDER)


def patient_scores(
    classes: Classes, slices: set[tuple[str, int]] | None = None, beside: Classes | None = None
) -> dict[str, pd.DataFrame]:
    """Pooled Dice and mean ASD (mm) of each patient by the yardstick: {metric: DataFrame [patients, classes]}.

    Column `mean`: over the foreground classes, of Dice those that the patient has; of ASD none where a class lacks it.
    slices: (volume, index) of those to use; all if None. beside: metrics to compare with: the ASD of a class leaves out
    the slices in which either misses it, or else the one that misses more would be measured on the easier ones.
    """
    dice, asd = {}, {}
    for name in FOREGROUND:
        images = _measured(classes[name])
        if slices is not None:
            images = images[[key in slices for key in _keys(images)]]
        if beside is not None:
            sides = images, _measured(beside[name])
            lost = {key for side in sides for key in _keys(side[side["missed"]])}  # by one of several seeds, too
            images = images.assign(assd=images["assd"].mask(np.array([key in lost for key in _keys(images)], bool)))
        sums = {key: values[:, None] for key, values in patient_sums(images).items()}
        each = aggregate(sums, "pooled")  # every patient by itself
        patients = np.unique(images["patient"]).astype(str)  # in the order of patient_sums
        dice[name], asd[name] = (pd.Series(each[metric], patients) for metric in ("dice", "assd"))
    return {
        metric: (frame := pd.DataFrame(values)).assign(mean=frame.mean(axis=1, skipna=metric == "dice"))
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
    """Each experiment against the baseline: differences of the same patients' scores by the yardstick, with a 95%
    interval and a paired test, its p corrected for the number of tests in the table.

    splits: {experiment: kind of split}. Only slices that both were tested on count.
    """
    classes_of = _by_class(runs)
    rows = []
    for (experiment, sequence), (_, classes) in classes_of.items():
        if experiment == baseline or (baseline, sequence) not in classes_of:
            continue
        base = classes_of[baseline, sequence][1]
        both = _slices_of(classes) & _slices_of(base)
        scores, others = patient_scores(classes, both, base), patient_scores(base, both, classes)
        for metric, frame in scores.items():
            for name in (*FOREGROUND, "mean"):
                pairs = frame[name] - others[metric][name]
                mean, low, high, number = _mean_interval(pairs, "difference")
                row: Row = {"sequence": sequence, "class": name, "experiment": experiment, "baseline": baseline}
                row |= {"metric": metric, "difference": mean, "low": low, "high": high, "patients": number}
                rows.append({**row, "slices": len(both), "p": paired_test(pairs), "split": splits[experiment]})
    frame = pd.DataFrame(rows, columns=ABLATION)
    frame["p corrected"] = holm(frame["p"].astype(float).tolist())
    frame["verdict"] = np.where(frame["difference"].astype(float) > 0, "higher", "lower")
    frame.loc[~(frame["p corrected"].astype(float) < 0.05), "verdict"] = "no telling"
    return frame


ABLATION = ["sequence", "class", "experiment", "baseline", "metric", "difference", "low", "high", "patients", "slices"]
ABLATION += ["p", "p corrected", "verdict", "split"]
GROUPS = 10  # a column with more values is no division into groups
SUBGROUPS = ["sequence", "experiment", "by", "group", "patients", *FOREGROUND, "mean", "low", "high"]


def groups_of(overview: pd.DataFrame | None) -> dict[tuple[str, str], str]:
    """Groups of patients: {(volume, property): group}, or {} without an overview.

    Properties of SPIDER's overview.csv: scanner, field strength, sex, and age in bands of twenty years (its
    `birth_date` holds an age). Of a sample sheet: each column of the user's own that has at most GROUPS values.
    """
    key = frames.key_of(overview)
    if overview is None or key is None:
        return {}
    is_sheet = key == "volume"
    own = [name for name in overview if is_sheet and name not in dataset.SHEET and name != "age"]
    own = [name for name in own if len(set(overview[name]) - {""}) <= GROUPS]
    groups: dict[tuple[str, str], str] = {}
    for row in overview.to_dict("records"):
        scanner = f"{row.get('Manufacturer', '')} {row.get('ManufacturerModelName', '')}".strip()
        field = f"{row['MagneticFieldStrength']} T" if row.get("MagneticFieldStrength") else ""
        values = {"scanner": scanner, "field strength": field, "sex": row.get("sex", "")}
        values["age"] = _band(row.get("age" if is_sheet else "birth_date", ""))
        values |= {str(name): row[name] for name in own}
        groups |= {(row[key], name): value for name, value in values.items() if value}
    return groups


def _band(age: str) -> str:
    """Twenty years around an age; empty if the text is none."""
    years = pd.to_numeric(age, errors="coerce")
    return f"{int(years // 20 * 20)}-{int(years // 20 * 20) + 19}" if 0 < years < 120 else ""


def subgroups(runs: Iterable[Run], overview: pd.DataFrame | None) -> pd.DataFrame:
    """Dice by properties of the volumes (`groups_of`): mean over the patients of a group, with a 95% interval. A
    patient whose volumes differ in a property stands in several groups, in each with the volumes of that group."""
    groups = groups_of(overview)
    rows = []
    for (experiment, sequence), (_, classes) in _by_class(runs).items():
        tested = _slices_of(classes)
        for by in dict.fromkeys(name for _, name in groups):
            members: dict[str, set[tuple[str, int]]] = {}
            for volume, index in tested:
                if value := groups.get((volume, by)):
                    members.setdefault(value, set()).add((volume, index))
            for value in sorted(members):
                part = patient_scores(classes, members[value])["dice"]
                mean, low, high, number = _mean_interval(part["mean"], "share")
                row = {"sequence": sequence, "experiment": experiment, "by": by, "group": value, "patients": number}
                rows.append({**row, **part[list(FOREGROUND)].mean(), "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=SUBGROUPS)


def paper_comparison(table1: pd.DataFrame, table2: pd.DataFrame, table3: pd.DataFrame) -> pd.DataFrame:
    """Each cell of the paper's tables: printed, from `released`, from `sound`, and the differences to the first, where
    the two have a unit in common.

    table1, table2, table3: our tables as written, which include the paper's rows.
    """
    rows, experiments = [], ("released", "sound")

    def add(
        table: str, sequence: Hashable, name: Hashable, metric: str, printed: Any, made: Mapping[str, tuple[Any, str]]
    ) -> None:
        unit = "px" if metric in ("asd", "nsd") else ""  # NSD has none, but its tolerance has
        row = {"table": table, "sequence": sequence, "class": name, "metric": metric, "printed": printed}
        for experiment in experiments:
            value, own = made.get(experiment, (np.nan, unit))
            row |= {experiment: value, f"{experiment} - printed": value - printed if own == unit else np.nan}
        units = [unit, *(own for _, own in made.values())]
        rows.append({**row, "units": ", ".join(dict.fromkeys(units))})

    sequence: Hashable  # the type of a group's key in pandas' stubs
    for sequence, part in table1[table1["sequence"] != "total"].groupby("sequence", sort=False):
        printed = part[part["experiments"] == "paper"]
        for metric in ("images kept", "ratio before", "ratio after") if len(printed) else ():
            made = {e: (row[metric], "") for row in part.to_dict("records") for e in row["experiments"].split()}
            add("1", sequence, "", metric, printed[metric].iloc[0], made)
    for (sequence, name), part in table2.groupby(["sequence", "class"], sort=False):
        part = part.set_index("experiment")
        for metric in METRICS if "paper" in part.index else ():
            made = {
                experiment: (part.loc[experiment, metric], unit_of(metric, str(part.loc[experiment, "how"])))
                for experiment in experiments
                if experiment in part.index
            }
            add("2", sequence, name, metric, part.loc["paper", metric], made)
    for row in table3[table3["system"] == "paper, t2_SPACE"].to_dict("records"):
        part = table3[(table3["class"] == row["class"]) & (table3["metric"] == row["metric"])]
        flat = part[part["measured"].str.startswith("2-D")].drop_duplicates("system").set_index("system")
        made = {
            experiment: (flat.loc[system, "value"], unit_of(row["metric"], str(flat.loc[system, "source"])))
            for experiment in experiments
            if (system := f"{experiment}, t2_SPACE") in flat.index
        }
        add("3", "t2_SPACE", row["class"], row["metric"], row["value"], made)
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
