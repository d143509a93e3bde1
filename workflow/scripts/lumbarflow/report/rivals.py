"""All experiments beside each other, and published systems apart: by one yardstick, by SPIDER's score, and by cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .. import FOREGROUND, files

Row = dict[str, Any]

OFFICIAL = [f"official {name}" for name in FOREGROUND]
PAIRED = ["difference", "low", "high", "p corrected"]
RIVALS = ["sequence", "experiment", "Dice", *FOREGROUND, "patients", *PAIRED, "shared", *OFFICIAL]
RIVALS += ["corrected ASD, mm", "found", "data"]
PLANNED = 250_000  # iterations of nnU-Net: 1,000 epochs of 250
COST = ["sequence", "experiment", "parameters", "trainings", "minutes a training", "device", "seconds a volume"]
COST += ["peak memory, MB"]


def rivals(
    intervals: pd.DataFrame,
    ablation: pd.DataFrame,
    table3: pd.DataFrame,
    published: pd.DataFrame,
    settings: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """One row per sequence and experiment, then the published systems.

    Dice: mean over the three classes by the ladder's yardstick; difference, low, high, p corrected: of its paired
    difference to the baseline, over the `shared` patients; official: SPIDER's Dice of each class, mean over volumes;
    corrected ASD: mean over the classes, as is found: the share of structures that were, as what they are. The
    arguments are the tables of these names; settings: {experiment: its settings}.
    """
    yardstick = intervals[(intervals["measured"] == "yardstick") & (intervals["metric"] == "dice")]
    paired = ablation[(ablation["metric"] == "dice") & (ablation["class"] == "mean")]
    compared = {(row["sequence"], row["experiment"]): row for row in paired.to_dict("records")}
    has = yardstick[yardstick["value"].notna()]
    known = set(zip(has["sequence"], has["class"], strict=True))  # a dataset may lack a class
    rows = []
    for (sequence, experiment), part in yardstick.groupby(["sequence", "experiment"], sort=False):
        dice = part.set_index("class")["value"].astype(float)
        there = [name for name in FOREGROUND if (sequence, name) in known]
        row: Row = {"sequence": sequence, "experiment": experiment, "Dice": dice[there].mean(skipna=False)}
        row |= {name: dice[name] for name in FOREGROUND}
        row["patients"] = int(part.loc[part["class"].isin(FOREGROUND), "patients"].max())
        said = f"this run{_share(settings[str(experiment)])}"
        difference: Mapping[Any, Any] = compared.get((sequence, experiment), {})
        row |= {key: difference.get(key) for key in PAIRED} | {"shared": difference.get("patients")}
        rows.append({**row, **_official(table3[table3["system"] == f"{experiment}, {sequence}"]), "data": said})
    for system, part in published.groupby("system", sort=False):
        rows.append(
            {
                "sequence": "published",
                "experiment": system,
                **_official(part.assign(score="official")),
                "data": _sources(part),
            }
        )
    return pd.DataFrame(rows, columns=RIVALS)


def _share(settings: Mapping[str, Any]) -> str:
    """How long an nnU-Net was trained, of what it plans."""
    if "nnunet" not in settings:
        return ""
    done = settings["nnunet"]["epochs"] * settings["nnunet"]["iterations"]
    few = ", so no measure of nnU-Net" if done < PLANNED else ""
    return f": {done:,} iterations of {PLANNED:,} planned{few}"


def _official(part: pd.DataFrame) -> Row:
    """SPIDER's scores of one system, from rows of Table 3; of published ones the first that is quoted."""
    rows = part.to_dict("records")
    values = {(row["score"], row["metric"], row["class"]): float(row["value"]) for row in rows[::-1]}

    def of(score: str, metric: str) -> pd.Series:
        return pd.Series({name: values.get((score, metric, name), float("nan")) for name in FOREGROUND})

    means = {"corrected ASD, mm": of("corrected", "asd"), "found": of("strict", "detection")}
    return {
        **of("official", "dice").add_prefix("official "),
        **{name: each.mean(skipna=False) for name, each in means.items()},
    }


def _sources(part: pd.DataFrame) -> str:
    return "; ".join(dict.fromkeys(f"{row['data']}: {row['source']}" for row in part.to_dict("records")))


def cost(runs: Sequence[Row]) -> pd.DataFrame:
    """What each experiment cost, the mean over its runs. runs: those of `run_cost`."""
    frame = pd.DataFrame(runs)
    grouped = frame.groupby(["sequence", "experiment", "device"], sort=False, dropna=False)
    return grouped.mean().assign(trainings=grouped.size()).reset_index()[COST]


# Snakemake's measurements of a run's jobs
MEASURED = {
    "train": ("train/{trained}/{sequence}/fold-{fold}/seed-{seed}", "nnunet_train/{experiment}/{sequence}/fold-{fold}"),
    "predict": (
        "predict/{experiment}/{sequence}/fold-{fold}/seed-{seed}",
        "nnunet_predict/{experiment}/{sequence}/fold-{fold}",
    ),
}


def run_cost(run: Mapping[str, Any], results: Path, volumes: int) -> Row:
    """A row of `cost` of one run: its fields, and `trained`, the experiment whose network it uses; volumes: how many
    were predicted whole, to test or to choose by, none in a split of slices. results: the folder in which what was
    measured is looked for."""
    seconds, memory = {}, {}
    for part, patterns in MEASURED.items():
        for path in (results / "benchmarks" / f"{pattern.format(**run)}.tsv" for pattern in patterns):
            if path.is_file():
                last = pd.read_csv(path, sep="\t").iloc[-1]
                seconds[part], memory[part] = float(last["s"]), float(last["max_rss"])
    folder = "experiments/{trained}/{sequence}/fold-{fold}/seed-{seed}/model.json".format(**run)
    about = files.read_json(results / folder) if (results / folder).is_file() else {}
    row: Row = {"sequence": run["sequence"], "experiment": run["experiment"], "device": about.get("device")}
    row |= {"parameters": about.get("parameters"), "minutes a training": seconds.get("train", float("nan")) / 60}
    row |= {"seconds a volume": seconds.get("predict", float("nan")) / volumes if volumes else float("nan")}
    return {**row, "peak memory, MB": memory.get("predict")}
