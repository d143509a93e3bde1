"""Read the results of the runs for the tables, for each experiment and each sequence that it was tested on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import FOREGROUND, files
from .frames import read_table
from .table3 import CEILING

Settings = Mapping[str, Any]
Key = tuple[str, str]  # experiment, tested sequence
TABLES = ("metrics", "metrics_stack", "metrics_3d", "metrics_instances")
LEARNT = ("copied", "copied_stack", "leakage")  # of runs that have a network


@dataclass
class Results:
    """Input of tables.py.

    runs, copies: (experiment, sequence, evaluation, metrics, stack) of the networks and of the copied masks; about:
    model.json of each training; in_3d, instances, shares: rows of metrics_3d, metrics_instances and leakage.
    """

    runs: list[tuple[str, str, Settings, pd.DataFrame, pd.DataFrame | None]] = field(default_factory=list)
    copies: list[tuple[str, str, Settings, pd.DataFrame, pd.DataFrame | None]] = field(default_factory=list)
    about: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    in_3d: dict[Key, pd.DataFrame] = field(default_factory=dict)
    instances: dict[Key, pd.DataFrame] = field(default_factory=dict)
    shares: dict[Key, pd.DataFrame] = field(default_factory=dict)


def on_network(
    runs: Iterable[tuple[str, str, Settings, pd.DataFrame, pd.DataFrame | None]],
) -> list[tuple[str, str, Settings, pd.DataFrame, pd.DataFrame | None]]:
    """The same runs, measured on the network grid, as copied masks are."""
    return [(name, sequence, {**how, "grid": "network"}, images, stack) for name, sequence, how, images, stack in runs]


def as_released(stack: pd.DataFrame | None) -> pd.DataFrame | None:
    """Of the rows of metrics_stack.csv of one sequence those in the release's order, if the split has one."""
    return None if stack is None else stack[stack["order"] == stack["order"].iloc[0]]


def where(metrics: str | Path) -> tuple[str, str]:
    """(experiment, sequence trained on) of a training's metrics.csv, by its path."""
    experiment, trained_on = Path(metrics).parts[-5:-3]
    return experiment, trained_on


def by_sequence(metrics: Iterable[str | Path]) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """(experiment, tested sequence, rows of metrics.csv) of each run; the rows of slices that the experiment's own
    protocol leaves out are not `scored`."""
    for path in metrics:
        for sequence, images in read_table(path).groupby("sequence", sort=False):
            yield where(path)[0], str(sequence), images


def reliability(
    tables: Iterable[str], decisions: Iterable[str], sequence: str
) -> tuple[dict[str, pd.DataFrame], dict[str, list[float]]]:
    """Of one tested sequence, {experiment: reliability.csv, all its runs together}; and {experiment: offsets of the
    foreground classes, the mean over its runs} of those that decide by any."""
    found: dict[str, list[pd.DataFrame]] = {}
    offsets: dict[str, list[list[float]]] = {}
    for path, decision in zip(tables, decisions, strict=True):
        rows = read_table(path)
        rows = rows[rows["sequence"] == sequence]
        if rows.empty:
            continue
        experiment = where(path)[0]
        found.setdefault(experiment, []).append(rows)
        if chosen := files.read_json(decision)["offsets"]:
            offsets.setdefault(experiment, []).append([chosen.get(name, 0.0) for name in FOREGROUND])
    together = {}
    for experiment, parts in found.items():
        rows = pd.concat(parts)
        rows[["said", "true"]] = rows[["said", "true"]].mul(rows["pixels"], axis=0)
        sums = rows.groupby(["class", "from", "to"], as_index=False)[["pixels", "said", "true"]].sum()
        sums[["said", "true"]] = sums[["said", "true"]].div(sums["pixels"], axis=0)
        together[experiment] = sums
    means = {experiment: np.mean(each, axis=0).tolist() for experiment, each in offsets.items()}
    return together, means


def stacks(paths: Iterable[str]) -> dict[Key, pd.DataFrame]:
    """Rows of all metrics_stack.csv of each experiment and tested sequence; none where no stack was scored."""
    found: dict[Key, list[pd.DataFrame]] = {}
    for path in paths:
        for sequence, rows in read_table(path).groupby("sequence", sort=False):
            found.setdefault((where(path)[0], str(sequence)), []).append(rows)
    return {key: pd.concat(parts) for key, parts in found.items()}


def manifests(
    paths: Iterable[str], experiments: Iterable[list[str]]
) -> list[tuple[dict[str, str], str, list[str], pd.DataFrame]]:
    """(recipes, sequence, experiments that use it, rows) of each manifest."""
    found = []
    for path, names in zip(paths, experiments, strict=True):
        *_, slices, labels, name, file = Path(path).parts
        recipes = {"slices": slices, "labels": labels, "filter": name}
        found.append((recipes, Path(file).stem, names, read_table(path)))
    return found


def ceiling(paths: Iterable[str]) -> dict[Key, pd.DataFrame]:
    """Rows of the ceiling of each volume, as Results.instances."""
    rows = pd.concat([read_table(path) for path in paths]).assign(training="")
    return {(CEILING, str(sequence)): part for sequence, part in rows.groupby("sequence", sort=False)}


def read(metrics: Iterable[str], evaluation: Mapping[str, Settings], trains: Mapping[str, str]) -> Results:
    """All results of the runs whose metrics.csv are given, of the slices that their protocols score.

    evaluation: {experiment: its settings}; trains: {experiment: the one that trained its networks}, without those that
    score predictions of another program.
    """
    results = Results()
    parts: dict[str, dict[Key, list[pd.DataFrame]]] = {"in_3d": {}, "instances": {}, "shares": {}}
    for path in metrics:
        folder, (experiment, trained_on) = Path(path).parent, where(path)
        names = (*TABLES, *LEARNT) if experiment in trains else TABLES
        frames = {name: dict(list(read_table(folder / f"{name}.csv").groupby("sequence"))) for name in names}
        for sequence, every in frames["metrics"].items():
            images = every[every["scored"]]
            key, settings = (experiment, str(sequence)), evaluation[experiment]
            results.runs.append((*key, settings, images, as_released(frames["metrics_stack"].get(sequence))))
            if experiment in trains:
                trained = folder.parents[3] / trains[experiment] / folder.relative_to(folder.parents[2])
                model = {**files.read_json(trained / "model.json"), "trained_on": trained_on}
                results.about.setdefault(key, []).append(model)
                copied = (frames["copied"][sequence], as_released(frames["copied_stack"].get(sequence)))
                results.copies.append((*key, settings, *copied))
                parts["shares"].setdefault(key, []).append(frames["leakage"][sequence])
            if sequence in frames["metrics_3d"]:
                parts["in_3d"].setdefault(key, []).append(frames["metrics_3d"][sequence])
            if sequence in frames["metrics_instances"]:  # not where the truth does not tell structures apart
                structures = frames["metrics_instances"][sequence].assign(training=str(folder))
                parts["instances"].setdefault(key, []).append(structures)
    for name, found in parts.items():
        setattr(results, name, {key: pd.concat(frames) for key, frames in found.items()})
    return results
