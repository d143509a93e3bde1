"""The plan that follows from a config: volumes, sequences, trainings, recipes and manifests, but no result paths."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import DataError, settings, source
from .data import dataset
from .data.dataset import Source

DOWNLOADING = re.compile(r"(^|_)download$|(^|/)download\.txt$")  # the rule (also with a module's prefix), or its output
PHANTOM = "results/phantom"  # the built-in dataset is made here, never in a folder of the user


@dataclass(frozen=True)
class Run:
    """One training and the steps that follow from it. sequence: the one to train on, or `all` sequences together."""

    experiment: str
    sequence: str
    fold: int
    seed: int


@dataclass(frozen=True)
class CrossRun(Run):
    """A network tested on a sequence that it was not trained on."""

    tested: str


@dataclass(frozen=True)
class Masks:
    """Class masks of one sequence: a recipe of slices, one of labels."""

    slices: str
    labels: str
    sequence: str


@dataclass(frozen=True)
class Manifest(Masks):
    """Images of one sequence and what a filter says of them."""

    filter: str


@dataclass(frozen=True)
class Plan:
    """What is to be run. config: validated, with all defaults; experiments: {name: complete settings} of those to
    run; volumes: {name: Source} of the wanted sequences, empty if the dataset is to be downloaded first."""

    config: Mapping[str, Any]
    experiments: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, Source]

    @classmethod
    def make(cls, config: Mapping[str, Any], schemas: Path, targets: Iterable[str] = ()) -> Plan:
        """Make the plan of a config. schemas: folder of the JSON schemas; targets: rules and files asked of Snakemake.

        Raises a DataError that names the key, file or line.
        """
        experiments = settings.load(config, schemas)
        for key, part in (("experiments", experiments), ("labels", config["labels"])):
            for name, each in part.items():
                chosen = [each] if key == "labels" else [each[key] for key in ("network", "loss", "normalisation")]
                for module in settings.modules(chosen):
                    source.find(module, f"config.{key}.{name}")
        downloading = any(DOWNLOADING.search(target) for target in targets)
        return cls(config, experiments, {} if downloading else find_volumes(config))

    @cached_property
    def sequences(self) -> list[str]:
        """The wanted sequences that the dataset has."""
        found = {each.sequence for each in self.volumes.values()}
        return [sequence for sequence in self.config["sequences"] if sequence in found]

    @cached_property
    def patients(self) -> dict[str, list[str]]:
        """{patient: its wanted sequences}, of all patients."""
        patients: dict[str, list[str]] = {}
        for each in self.volumes.values():
            patients.setdefault(each.patient, []).append(each.sequence)
        return patients

    def volumes_of(self, sequence: str) -> list[str]:
        """Names of the volumes of a sequence, or of all volumes for `all`."""
        return [name for name, each in self.volumes.items() if sequence in (each.sequence, "all")]

    @cached_property
    def trained_on(self) -> dict[str, list[str]]:
        """{value of Run.sequence: sequences it stands for}: each sequence by itself, and `all`."""
        return {**{sequence: [sequence] for sequence in self.sequences}, "all": self.sequences}

    @cached_property
    def sources(self) -> dict[str, dict[str, Any]]:
        """{volume: {patient, sequence, files, stored}}. files: the files that its `image` and its `mask` consist of;
        stored: the arguments of volumes.read for each: the path, and values that replace the header's."""
        found = {}
        for name, each in self.volumes.items():
            paths, override = {"image": each.image, "mask": each.mask}, self.config["overrides"].get(name)
            found[name] = {
                "patient": each.patient,
                "sequence": each.sequence,
                "files": {kind: dataset.parts(path) for kind, path in paths.items()},
                "stored": {kind: {"path": path, "override": override} for kind, path in paths.items()},
            }
        return found

    @cached_property
    def overview(self) -> str:
        """Path of SPIDER's overview.csv, or of the sample sheet in its place; the file may be missing."""
        folder = PHANTOM if self.makes_phantom else self.config["root"]
        return self.config["sheet"] or os.path.join(folder, "overview.csv")

    @property
    def makes_phantom(self) -> bool:
        return self.config["root"] == "phantom" and not self.config["sheet"]

    @property
    def has_overview(self) -> bool:
        """Whether the overview exists or will be made."""
        return self.makes_phantom or os.path.isfile(self.overview)

    @cached_property
    def runs(self) -> list[Run]:
        """Every training: experiments, sequences, folds, seeds, in this order."""
        return [
            Run(name, sequence, fold, seed)
            for name, experiment in self.experiments.items()
            for sequence in (["all"] if experiment["train_on"] == "all" else self.sequences)
            for fold in experiment["folds"]
            for seed in experiment["seeds"]
        ]

    @cached_property
    def cross_runs(self) -> list[CrossRun]:
        """Every test on a sequence that the network was not trained on."""
        return [
            CrossRun(run.experiment, run.sequence, run.fold, run.seed, tested)
            for run in self.runs
            for tested in self.sequences
            if tested in self.experiments[run.experiment]["cross_test"] and run.sequence not in (tested, "all")
        ]

    @cached_property
    def masks(self) -> list[Masks]:
        """Class masks that an experiment uses."""
        pairs = dict.fromkeys((each["slices"], each["labels"]) for each in self.experiments.values())
        return [Masks(*pair, sequence) for pair in pairs for sequence in self.sequences]

    @cached_property
    def exact_labels(self) -> str | None:
        """Name of the first label recipe with the method `lut`, if there is one."""
        return next((name for name, recipe in self.config["labels"].items() if recipe["method"] == "lut"), None)

    @property
    def repairs(self) -> list[Masks]:
        """The masks that APTA repairs, if there are exact masks to compare them with."""
        recipes = self.config["labels"]
        return [each for each in self.masks if self.exact_labels and recipes[each.labels]["method"] == "apta"]

    @cached_property
    def manifests(self) -> dict[Manifest, list[str]]:
        """{manifest: names of the experiments that use it}."""
        manifests: dict[Manifest, list[str]] = {}
        for name, each in self.experiments.items():
            for sequence in self.sequences:
                manifest = Manifest(each["slices"], each["labels"], sequence, each["filter"])
                manifests.setdefault(manifest, []).append(name)
        return manifests


def find_volumes(config: Mapping[str, Any]) -> dict[str, Source]:
    """{volume: Source} of the wanted sequences, from sheet, folder or phantom. Raises a DataError that names the
    key or file."""
    if config["sheet"]:
        volumes = dataset.read_sheet(config["sheet"])
    elif config["root"] == "phantom":
        names = [f"{n + 1}_{s}" for n in range(config["phantom"]["patients"]) for s in config["sequences"]]
        paths = {name: [f"{PHANTOM}/{kind}/{name}.mha" for kind in ("images", "masks")] for name in names}
        volumes = {name: Source(*dataset.parse_name(name), *paths[name]) for name in names}
    elif not config["root"]:
        raise DataError(
            "config.root: no dataset folder given; add `--config root=FOLDER` (SPIDER's layout: images/, masks/), "
            "`--config sheet=FILE` (a sample sheet), or `snakemake download --configfile config/spider.yaml` to fetch "
            "SPIDER, or run without --configfile"
        )
    else:
        volumes = dataset.find_volumes(config["root"])
    for name in config["overrides"]:
        if name not in volumes:
            near = difflib.get_close_matches(name, list(volumes), 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(f"config.overrides: there is no volume {name!r}{hint}")
    wanted = {name: each for name, each in volumes.items() if each.sequence in config["sequences"]}
    if not wanted:
        where = config["sheet"] or config["root"]
        raise DataError(f"config.sequences: {where} holds no volume of {', '.join(config['sequences'])}")
    return wanted
