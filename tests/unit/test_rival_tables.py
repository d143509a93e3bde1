"""The table of rivals puts together what other tables say; costs are what Snakemake measured."""

import math

import pandas as pd
import pytest

from lumbarflow.files import write_json
from lumbarflow.report import published, rivals

CLASSES = ("vertebrae", "spinal_canal", "ivd")


def frames(dice):
    """intervals, ablation, table3 of experiments with these Dice of each class."""
    base = {"sequence": "t2", "measured": "yardstick", "metric": "dice", "patients": 7}
    intervals = [
        {**base, "experiment": name, "class": k, "value": value}
        for name, values in dice.items()
        for k, value in zip(("background", *CLASSES), (0.99, *values), strict=True)
    ]
    ablation = [
        {"sequence": "t2", "experiment": "b", "class": "mean", "metric": "dice", "difference": -0.1}
        | {"low": -0.2, "high": 0.0, "p corrected": 0.04, "patients": 6}
    ]
    table3 = [
        {"system": f"{name}, t2", "class": k, "metric": metric, "score": score, "value": value}
        for name in dice
        for k, value in zip(CLASSES, (0.7, 0.8, 0.9), strict=True)
        for metric, score in (("dice", "official"), ("dice", "strict"), ("asd", "corrected"), ("detection", "strict"))
    ]
    return pd.DataFrame(intervals), pd.DataFrame(ablation), pd.DataFrame(table3)


def test_a_row_for_each_experiment_and_published_systems_below():
    found = frames({"a": (0.9, 0.8, 0.7), "b": (0.6, 0.6, math.nan)})
    settings = {"a": {}, "b": {"nnunet": {"epochs": 10, "iterations": 20}}}
    table = rivals.rivals(*found, published.read("systems"), settings)
    rows = {row["experiment"]: row for row in table.to_dict("records")}
    assert list(rows) == ["a", "b", "nnU-Net", "IIS"]
    assert rows["a"]["Dice"] == pytest.approx(0.8)
    assert (rows["a"]["spinal_canal"], rows["a"]["patients"]) == (0.8, 7)
    assert math.isnan(rows["b"]["Dice"])  # no mean over fewer classes
    assert (rows["b"]["difference"], rows["b"]["p corrected"], rows["b"]["shared"]) == (-0.1, 0.04, 6)
    assert pd.isna(rows["a"]["difference"])
    assert rows["a"]["official ivd"] == 0.9
    assert rows["a"]["corrected ASD, mm"] == pytest.approx(0.8)
    assert rows["a"]["found"] == pytest.approx(0.8)
    assert rows["a"]["data"] == "this run"
    assert rows["b"]["data"] == "this run: 200 iterations of 250,000 planned, so no measure of nnU-Net"
    assert rows["IIS"]["official vertebrae"] == 0.93
    assert "39 patients" in rows["IIS"]["data"]
    assert pd.isna(rows["nnU-Net"]["Dice"])


def test_a_class_that_the_data_lack_costs_nobody_the_mean():
    found = frames({"a": (0.9, math.nan, 0.7), "b": (0.6, math.nan, 0.6)})
    table = rivals.rivals(*found, published.read("systems"), {"a": {}, "b": {}}).set_index("experiment")
    assert table["Dice"].dropna().to_dict() == pytest.approx({"a": 0.8, "b": 0.6})


def test_costs_are_means_over_runs_and_unknown_where_nothing_was_measured(tmp_path):
    runs = []
    for fold, seconds in enumerate((60, 180)):
        run = {"experiment": "mine", "trained": "mine", "sequence": "t2", "fold": fold, "seed": 1}
        name = f"mine/t2/fold-{fold}/seed-1"
        for part, took in (("train", seconds), ("predict", 10)):
            path = tmp_path / f"benchmarks/{part}/{name}.tsv"
            path.parent.mkdir(parents=True)
            path.write_text(f"s\tmax_rss\n{took}\t{500 + fold}\n")
        (tmp_path / f"experiments/{name}").mkdir(parents=True)
        write_json(tmp_path / f"experiments/{name}/model.json", {"parameters": 1000, "device": "cpu"})
        runs.append(rivals.run_cost(run, tmp_path, volumes=5))
    other = {"experiment": "other", "trained": "other", "sequence": "t2", "fold": 0, "seed": 1}
    runs.append(rivals.run_cost(other, tmp_path, volumes=5))
    (tmp_path / "benchmarks/nnunet_train/theirs/t2").mkdir(parents=True)
    (tmp_path / "benchmarks/nnunet_train/theirs/t2/fold-0.tsv").write_text("s\tmax_rss\n600\t900\n")
    runs.append(rivals.run_cost({**other, "experiment": "theirs", "trained": "theirs"}, tmp_path, volumes=5))
    assert math.isnan(rivals.run_cost(run, tmp_path, volumes=0)["seconds a volume"])  # slices, no whole volume
    mine, unknown, theirs = rivals.cost(runs).to_dict("records")
    assert (mine["parameters"], mine["trainings"], mine["minutes a training"]) == (1000, 2, 2)
    assert (mine["seconds a volume"], mine["peak memory, MB"]) == (2, 500.5)
    assert all(pd.isna(unknown[name]) for name in ("parameters", "minutes a training", "seconds a volume"))
    assert theirs["minutes a training"] == 10
