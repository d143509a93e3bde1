"""The truth as prediction scores 1.0, 0.0 mm and 100% found in every table that scores."""

import csv
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conftest import jobs

from lumbarflow import files
from lumbarflow.data import labels, masks, writing
from lumbarflow.learning import segmentation
from lumbarflow.learning.decision import Decision
from lumbarflow.measures import structures

# columns of scores, by what a perfect prediction gets
ONE = re.compile(
    r"^(reported )?(iou|(soft_)?dice|f1|precision|recall|nsd\w*|detection)$|^dice pooled$|^(macro )?Dice$"
    r"|^network: [a-z]|^official |^found$"
)
NONE = re.compile(
    r"^(reported )?(asd|assd)\b|^(assd_area|asd_mean_of_means|hd95|missed|corrected ASD, mm)$|\bchange\b"
    r"|^difference$|^network: ASD"
)


@dataclass(frozen=True)
class Truth(segmentation.Segmenter):
    """In place of a network: class probabilities that are 1 where the truth is."""

    volumes: dict

    def segment(self, group):
        truths = segmentation.batches.load_masks(group, self.label_folder, *self.grid)
        return np.eye(4, dtype=np.float32)[truths], truths

    def on_source(self, group, source, known):
        classes = labels.lut(self.volumes[group[0]["volume"]].array)
        return (np.eye(4, dtype=np.float32)[classes[int(row["index"])]] for row in group)


def predict_the_truth(results, root, experiment, recipes, sequence):
    """Write what rules predict and structures write, but of the true masks in `root`."""
    folder = results / f"experiments/{experiment}/{sequence}/fold-0/seed-1"
    about = files.read_json(folder / "model.json")
    kind = about["settings"]["split"]["kind"]
    groups = segmentation.tested(segmentation.by_volume(files.read_csv(folder / "split.csv")), kind)
    truths = {name: masks.read(root / f"masks/{name}.mha") for name in groups}
    slices, label_folder = results / "slices" / recipes[0], results / "labels" / recipes[0] / recipes[1]
    truth = Truth(None, about["settings"], about["slices"]["size"], slices, label_folder, truths)
    table, listed = [], []
    for name, group in groups.items():
        whole = None if kind == "slice" else folder / "volumes"
        source = files.read_csv(slices / f"{name}.csv")
        table += truth.write(group, source, Decision(), folder / "predictions", whole)[0]
        if whole:
            digest = writing.write(folder / f"structures/{name}.mha", truths[name].array, truths[name].geometry)
            described = structures.describe(truths[name].array, truths[name].spacing)
            listed += [{"volume": name, "volume_sha256": digest, **row} for row in described]
    made = (folder / "predictions.csv").stat().st_mtime
    files.write_csv(folder / "predictions.csv", table, list(table[0]))
    os.utime(folder / "predictions.csv", (made, made))  # else the structures would be made of them again
    files.write_csv(folder / "structures.csv", listed, ("volume", "volume_sha256", *structures.DESCRIPTION))


def cells(folder, name, experiments):
    """(row, column, value) of each score that a table has of these experiments."""
    with (Path(folder) / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column in ("value", *row):
                metric = row.get("metric", "") if column == "value" else column
                value = row.get(column) or "nan"
                known = row.get("experiment", row.get("system", "").partition(",")[0]) in experiments
                if known and (ONE.search(metric) or NONE.search(metric)) and not math.isnan(float(value)):
                    yield row, metric, float(value)


def check(workflow, arguments, root, experiments, sequences, empty=()):
    """Predict the truth by all trainings of a finished run, and hold that its tables, made anew, say so.

    root: the dataset's folder; experiments: {name: (slice recipe, label recipe)}; empty: tables that
    have nothing to tell of this run.
    """
    for experiment, recipes in experiments.items():
        for sequence in sequences:
            predict_the_truth(workflow.results, root, experiment, recipes, sequence)
    ran = workflow(*arguments, "--forcerun", "evaluate", "--until", "compare")
    assert set(jobs(ran.stdout)) == {"evaluate", "make_tables", "compare"}
    tables = workflow.results / "tables"
    scored = ("table2", "intervals", "variants", "ladder", "rivals", "summary", "table3", "leakage", "subgroups")
    for name in (*scored, "ablation"):
        found = list(cells(tables, name, experiments))
        for row, metric, value in found:
            wanted = 0 if NONE.search(metric) else 1
            assert value == wanted, (name, metric, row)
        assert found or name == "subgroups" or name in empty, name
    with (tables / "subgroups.csv").open(newline="", encoding="utf-8") as file:
        groups = [row[name] for row in csv.DictReader(file) for name in ("vertebrae", "spinal_canal", "ivd", "mean")]
    assert groups or "subgroups" in empty
    assert set(map(float, groups)) <= {1}
