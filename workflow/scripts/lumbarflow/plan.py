"""The plan that follows from a config: volumes, sequences, trainings, recipes and manifests, but no result paths."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from . import DataError, files, settings, source
from .application import levels
from .data import dataset, new_scans, predictions, schemes
from .data.dataset import Source
from .data.new_scans import Scan
from .learning import splits

# Targets for which the plan differs: rules, also with a module's prefix, or their outputs. A job of a cluster has its
# own rule as its target, for which the plan must be that of the call.
# those that make a dataset or its list
DOWNLOADING = re.compile(r"(^|_)download$|(^|/)download\.txt$")
LISTING = re.compile(r"(^|(?<!contact)_)sheet$|(^|/)results/sheet\.csv$")
# those for new scans: they need no dataset
SCANNING = re.compile(
    r"(^|_)(segment|segment_scan|scan_summary|phantom_scans|check_model)$|(^|/)results/segmentations/"
)
# rules that need the results of a run, but not its dataset
PACKAGED = re.compile(r"(^|/)results/models/(?P<experiment>[^/]+)/(?P<sequence>[^/]+)\.zip$")
PACKAGING = re.compile(r"(^|_)(package|package_model|train_on_everyone)$|(^|/)results/models/")
# what an argument holds that may name one of all these; to parse the arguments costs time
SPECIAL = re.compile(
    r"(^|[_/])(download|sheet|segment|scan_summary|phantom_scans|check_model|package|export_nnunet|train_on_everyone"
    r"|results/models/)"
)
PHANTOM = "results/phantom"  # the built-in dataset is made here, never in a folder of the user
MANIFESTS = "results/manifests"
PROGRAMS = "results/programs"  # label volumes that other programs predict, run by rules of this workflow


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
    run; volumes: {name: Source} of the wanted sequences, empty if the dataset is to be downloaded or listed first;
    unlabelled: those without a mask, which are only looked at; left_out: the sequences of the dataset that are not
    wanted; scheme: what the masks' labels mean, None: they are SPIDER's; scans: {name: Scan} to be segmented; models:
    {sequence, or `` for any: absolute paths of the packages to do it by}, absolute so that Snakemake takes none for a
    result of this run; predicted: {experiment: {volume: path}} of those that score predictions of another program;
    missing: why the dataset cannot be read, where the results of an earlier run stand for it."""

    config: Mapping[str, Any]
    experiments: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, Source]
    unlabelled: Mapping[str, Source] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    scheme: schemes.Scheme | None = None
    scans: Mapping[str, Scan] = field(default_factory=dict)
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    predicted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    missing: str = ""

    @classmethod
    def make(cls, config: Mapping[str, Any], schemas: Path, targets: Collection[str] = ()) -> Plan:
        """Make the plan of a config. schemas: folder of the JSON schemas; targets: rules and files asked of Snakemake.

        Raises a DataError that names the key, file or line.
        """
        experiments = settings.load(config, schemas)
        for name, each in experiments.items():
            for part, (function, options) in settings.variants(each).items():
                source.check_function(function, options, f"config.experiments.{name}.{part}")
        for name, recipe in config["labels"].items():
            source.check_function(recipe["method"], set(recipe) - {"method"}, f"config.labels.{name}")
        for module in config["modules"]:
            source.find(module, "config.modules")
        making = any(kind.search(target) for kind in (DOWNLOADING, LISTING, SCANNING) for target in targets)
        packaging = bool(targets) and all(PACKAGING.search(target) for target in targets)
        missing = ""
        try:
            found = {} if making else find_volumes(config)
        except DataError as error:
            found = find_in_results(config, experiments) if packaging else {}
            if not found:
                raise
            missing = str(error)
        wanted = {name: each for name, each in found.items() if each.sequence in config["sequences"]}
        left_out = list(dict.fromkeys(each.sequence for name, each in found.items() if name not in wanted))
        unlabelled = {name: each for name, each in wanted.items() if not each.mask}
        labelled = {name: each for name, each in wanted.items() if each.mask}
        if wanted and not labelled:
            raise DataError(
                f"{config['sheet'] or config['root']}: none of its {len(wanted)} images has a mask, so there is "
                "nothing to learn from; add masks under the images' names (sheet: column mask), or look for a misspelt "
                "folder"
            )
        scheme = schemes.load(config["scheme"], config["unknown_labels"])
        models, scans = find_models(config), find_scans(config, targets)
        predicted = find_predictions(experiments, labelled)
        plan = cls(config, experiments, labelled, unlabelled, left_out, scheme, scans, models, predicted, missing)
        if plan.makes_phantom and config["scheme"] != "spider":
            raise DataError(f"config.scheme: the phantom's labels are SPIDER's, not {config['scheme']!r}; use spider")
        plan._check_patients()
        plan._check_predictions()
        plan._check_packages(targets)
        return plan

    def _check_packages(self, targets: Collection[str]) -> None:
        """Raise a DataError if there is nothing to pack, or for a training on everyone whose learning rate would wait
        for a validation."""
        there = ", ".join(f"{experiment}/{sequence}" for experiment, sequence in self.packages) or "none"
        for target in targets:
            named = PACKAGED.search(target)
            made = (named["experiment"], named["sequence"]) in self.packages if named else bool(self.packages)
            if made or not (named or target in ("package", "export_nnunet")):
                continue
            if not self.volumes:
                raise DataError(
                    f"{target}: cannot be made in one call with download, sheet, segment or check_model; call it by "
                    "itself"
                )
            raise DataError(
                f"{target}: cannot be made: config.run has networks with a split by patients of {there}; name one of "
                "these, or add one to config.run, such as sound"
            )
        for name in dict.fromkeys(self.trains(experiment) for experiment, _ in self.packages):
            schedule = self.experiments[name]["training"]["schedule"]
            if self.config["package"]["networks"] == "everyone" and schedule == "plateau":
                raise DataError(
                    f"config.package.networks: everyone trains without validation, which the schedule plateau of "
                    f"config.experiments.{name}.training needs; use constant or cosine"
                )

    def _check_patients(self) -> None:
        """Raise a DataError where a split by patients leaves a training without a subset that it needs."""
        for run in self.runs:
            split = self.experiments[run.experiment]["split"]
            sides = self._sides(run, None)
            if sides is None:
                continue
            of_sequence = [p for p, sequences in self.patients.items() if run.sequence in (*sequences, "all")]
            missing = set(splits.needed(split["validation"])) - {sides[patient] for patient in of_sequence}
            if missing:
                raise DataError(
                    f"config.experiments.{run.experiment}.split: kind {split['kind']} with n_folds {split['n_folds']} "
                    f"leaves fold {run.fold} of {run.sequence} no patient for {' and '.join(sorted(missing))}; it has "
                    f"{len(of_sequence)}; lower n_folds, add patients, or choose another kind"
                )

    def _check_predictions(self) -> None:
        """Raise a DataError that lists test volumes without a prediction."""
        for name, given in self.predicted.items():
            wanted = [volume for run in self.runs_of(name) for volume in self.tested(run)]
            predictions.check(wanted, given, f"config.experiments.{name}.predictions")

    @cached_property
    def _official(self) -> dict[str, str]:
        return splits.read_official(self.overview)

    def _sides(self, run: Run, seed: int | None) -> dict[str, str] | None:
        """{patient: subset} of a run's split by patients; seed None: only how many patients are where is right. None
        for a split of slices, since how many there are shows once they are made, and for an official one while the
        list of its patients is yet to be made."""
        split = self.experiments[run.experiment]["split"]
        if split["kind"] == "slice":
            return None
        official = None
        if split["kind"] == "official":
            if self.makes_phantom or not os.path.isfile(self.overview):
                return None  # of a dataset, rule split names the missing file
            official = self._official
        how = {key: split[key] for key in ("kind", "n_folds", "validation")}
        try:
            return splits.sides(**how, seed=seed, fold=run.fold, patients=self.patients, official=official)
        except DataError as error:
            raise DataError(f"config.experiments.{run.experiment}.split.kind: {self.overview}: {error}") from None

    def tested(self, run: Run) -> list[str]:
        """Names of the test volumes of a run, as far as its split can be told before the run."""
        sides = self._sides(run, self.experiments[run.experiment]["split"]["seed"])
        return [name for name in self.volumes_of(run.sequence) if sides and sides[self.volumes[name].patient] == "test"]

    def test_images(self, experiment: str, sequence: str, fold: str) -> list[str]:
        """Files of the images that an experiment tests on in a fold: what a program must predict."""
        names = [n for run in self.folds_of(experiment, sequence, fold) for n in self.tested(run)]
        return [file for name in names for file in dataset.parts(self.volumes[name].image)]

    def predictions_of(self, **run: Any) -> dict[str, str]:
        """{volume: path} of the predictions that a run scores; none of a program that is yet to run. run: the values of
        its fields, as text."""
        given = self.predicted.get(run["experiment"], {})
        tested = self.tested(Run(**{**run, "fold": int(run["fold"])}))
        names = tested or [name for name in self.volumes_of(run["sequence"]) if name in given]
        return {name: given[name] for name in names if given}

    def prediction_files(self, **run: Any) -> list[str]:
        """The files of these predictions, or the folder that a program will write."""
        if "predictions" not in self.experiments[run["experiment"]]:
            return [f"{PROGRAMS}/{run['experiment']}/{run['sequence']}/fold-{run['fold']}"]
        return [file for path in self.predictions_of(**run).values() for file in dataset.parts(path)]

    @cached_property
    def predicted_as(self) -> dict[str, schemes.Scheme | None]:
        """{experiment: label scheme of its predictions}, None: SPIDER's."""
        return {
            name: schemes.load(
                each.get("labels_as", "classes" if "nnunet" in each else "spider"),
                self.config["unknown_labels"],
                f"config.experiments.{name}.labels_as",
            )
            for name, each in self.experiments.items()
            if self.imports(name)
        }

    def imports(self, experiment: str) -> bool:
        """Whether an experiment scores predictions of another program, so that it has no network."""
        return settings.is_imported(self.experiments[experiment])

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

    @property
    def headline(self) -> str:
        """The sequence of which the first page speaks: the paper's best one, if it is there."""
        return "t2_SPACE" if "t2_SPACE" in self.compared or not self.compared else self.compared[0]

    @cached_property
    def compared(self) -> list[str]:
        """The sequences that anything is tested on."""
        tested = {run.sequence for run in self.runs}
        return [sequence for sequence in self.sequences if tested & {sequence, "all"}]

    @property
    def described(self) -> str:
        """What the dataset is, for the first page."""
        where = self.config["sheet"] or self.config["root"]
        kind = "synthetic patients, made on the spot" if self.makes_phantom else where
        numbers = f"{len(self.volumes)} volumes ({', '.join(self.sequences)}) of {len(self.patients)} patients"
        caution = " No number here says anything of real patients." if self.makes_phantom else ""
        return f"Data: {numbers}: {kind}.{caution}"

    def volumes_of(self, sequence: str) -> list[str]:
        """Names of the volumes of a sequence, or of all volumes for `all`."""
        return [name for name, each in self.volumes.items() if sequence in (each.sequence, "all")]

    def pictured(self, sequence: str) -> list[str]:
        """Names of the volumes of a sequence, those without a mask last."""
        return [*self.volumes_of(sequence), *(n for n, each in self.unlabelled.items() if each.sequence == sequence)]

    @cached_property
    def trained_on(self) -> dict[str, list[str]]:
        """{value of Run.sequence: sequences it stands for}: each sequence by itself, and `all`."""
        return {**{sequence: [sequence] for sequence in self.sequences}, "all": self.sequences}

    @cached_property
    def sources(self) -> dict[str, dict[str, Any]]:
        """{volume: {patient, sequence, files, stored}}, also of those without a mask. files: those that its `image`
        and its `mask` are read from; stored: the arguments of volumes.read or masks.read: the path, values that replace
        the header's, of an image its series, and of a mask its label scheme, unless it is SPIDER's, and, if it is
        DICOM or corrected, the image."""
        found = {}
        for name, each in {**self.volumes, **self.unlabelled}.items():
            paths, override = {"image": each.image, "mask": each.mask}, self.config["overrides"].get(name)
            stored: dict[str, dict[str, Any]] = {
                kind: {"path": path, "override": override} for kind, path in paths.items()
            }
            if each.series:
                stored["image"]["series"] = each.series
            if self.scheme:
                stored["mask"]["scheme"] = self.scheme
            if set(override or ()) - {"surplus"} or dataset.is_dicom(each.mask):
                stored["mask"]["image"] = stored["image"]
            read = {"image": [each.image], "mask": [each.mask, *([each.image] if "image" in stored["mask"] else [])]}
            found[name] = {
                "patient": each.patient,
                "sequence": each.sequence,
                "files": {
                    kind: [part for path in whole for part in dataset.parts(path)] for kind, whole in read.items()
                },
                "stored": stored,
            }
        return found

    @cached_property
    def overview(self) -> str:
        """Path of SPIDER's overview.csv, or of the sample sheet in its place; the file may be missing."""
        folder = PHANTOM if self.makes_phantom else self.config["root"] or ""
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
        """Every training, or import of predictions: experiments, sequences, folds, seeds, in this order."""
        return [
            Run(name, sequence, fold, seed)
            for name, experiment in self.experiments.items()
            for sequence in (["all"] if experiment["train_on"] == "all" else self._sequences_of(name))
            for fold in experiment["folds"]
            for seed in experiment["seeds"]
        ]

    def _sequences_of(self, experiment: str) -> list[str]:
        """The sequences; of predictions those that there are any of."""
        predicted = self.predicted.get(experiment)
        found = {self.volumes[name].sequence for name in predicted or ()}
        return [sequence for sequence in self.sequences if predicted is None or sequence in found]

    def folds_of(self, experiment: str, sequence: str, fold: str | None = None) -> list[Run]:
        """The runs of an experiment on a sequence, one for each fold, or for one fold."""
        runs = [run for run in self.runs_of(experiment) if run.sequence == sequence and fold in (None, str(run.fold))]
        return [run for run in runs if run.seed == runs[0].seed]

    @cached_property
    def learnt(self) -> list[Run]:
        """The runs that have a network, of their own or of another experiment."""
        return [run for run in self.runs if not self.imports(run.experiment)]

    def runs_of(self, experiment: str) -> list[Run]:
        """The runs of one experiment."""
        return [run for run in self.runs if run.experiment == experiment]

    @cached_property
    def trainings(self) -> list[Run]:
        """The runs that train a network of their own."""
        return [run for run in self.learnt if self.trains(run.experiment) == run.experiment]

    def trains(self, experiment: str) -> str:
        """Name of the experiment that trains the networks of another one, or its own."""
        return self.experiments[experiment]["networks_of"] or experiment

    def training_of(self, run: Run) -> Run:
        """The run that trained the network of another one, or the run itself."""
        return replace(run, experiment=self.trains(run.experiment))

    @cached_property
    def packages(self) -> dict[tuple[str, str], list[Run]]:
        """{(experiment, sequence): its runs} of what can be packaged: a network that saw slices of all patients has no
        score that says how well it segments others."""
        found: dict[tuple[str, str], list[Run]] = {}
        for run in self.learnt:
            if self.experiments[run.experiment]["split"]["kind"] != "slice":
                found.setdefault((run.experiment, run.sequence), []).append(run)
        return found

    def models_of(self, scan: str) -> Sequence[str]:
        """Packages to segment a scan by: of its sequence, or for any."""
        return self.models.get(self.scans[scan].sequence) or self.models.get("", ())

    def replaced(self, folder: str) -> list[str]:
        """Scans of which `folder` holds a result that is of other files."""
        return [name for name, scan in self.scans.items() if dataset.is_of_another(Path(folder) / name, scan.image)]

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
    def sheets(self) -> list[Masks]:
        """What contact sheets show: each sequence once, with exact labels if there are; those without a mask, too."""
        found = dict.fromkeys([*self.sequences, *(each.sequence for each in self.unlabelled.values())])
        pairs = [(each["slices"], each["labels"]) for each in self.experiments.values()]
        exact = next((pair for pair in pairs if pair[1] == self.exact_labels), pairs[0])
        return [Masks(*exact, sequence) for sequence in found]

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


def find_models(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """{sequence, or `` for any: paths of packages} that config.model names, or else the model that comes with the
    software. Raises a DataError for a missing file, or one from the future."""
    given = config["model"] if isinstance(config["model"], dict) else {"": config["model"]}
    found = {}
    for sequence, paths in given.items():
        listed = [paths] if isinstance(paths, str) else paths
        found[sequence] = [os.path.abspath(path) for path in listed if path]
        for path in found[sequence]:
            if not os.path.isfile(path):
                raise DataError(f"config.model: {path}: no such file; `snakemake package` writes results/models/")
        dataset.check_times(found[sequence])
    named = {sequence: paths for sequence, paths in found.items() if paths}
    shipped = source.shipped_model()
    return named or ({"": [shipped]} if shipped else {})


def find_predictions(
    experiments: Mapping[str, Mapping[str, Any]], volumes: Mapping[str, Source]
) -> dict[str, dict[str, str]]:
    """{experiment: {volume: path}} of the experiments that name predictions. Raises a DataError that names the key."""
    return {
        name: predictions.find(each["predictions"], volumes, f"config.experiments.{name}.predictions")
        for name, each in experiments.items()
        if volumes and "predictions" in each
    }


def find_scans(config: Mapping[str, Any], targets: Iterable[str]) -> dict[str, Scan]:
    """{name: Scan} of config.scans. Raises a DataError that names the key or file, also where a target lacks them."""
    levels.check(config["lowest"])
    asked = [target for target in targets if SCANNING.search(target)]
    if any("check_model" not in target for target in asked) and not config["scans"]:
        raise DataError(
            "config.scans: no scans given; add `--config scans=PATH`: a scan, a folder of scans, or a sheet"
        )
    if config["scans"] == "phantom":
        sequence = "t2_SPACE" if "t2_SPACE" in config["sequences"] else config["sequences"][0]
        return {f"new-{n}": Scan(f"{PHANTOM}/new/{n}.mha", sequence=sequence) for n in (1, 2)}
    spacing = new_scans.spacing_of(str(config["spacing"]), "config.spacing")
    named = config["model"] if isinstance(config["model"], dict) else ()
    found = new_scans.find(config["scans"], spacing, named) if config["scans"] else {}
    dataset.check_times(scan.image for scan in found.values())
    return found


def find_in_results(config: Mapping[str, Any], experiments: Mapping[str, Any]) -> dict[str, Source]:
    """{volume: Source} as the manifests of an earlier run list them; their images and masks are not there. {} without
    results."""
    recipes = dict.fromkeys((each["slices"], each["labels"], each["filter"]) for each in experiments.values())
    paths = [Path(MANIFESTS, *recipe, f"{each}.csv") for recipe in recipes for each in config["sequences"]]
    rows = [row for path in paths if path.is_file() for row in files.read_csv(path)]
    found = {row["volume"]: (row["patient"], row["sequence"]) for row in rows}
    away = "{}/{}".format(config["sheet"] or config["root"], "away")
    return {n: Source(*found[n], f"{away}/{n}", f"{away}/{n}") for n in sorted(found, key=dataset.volume_key)}


def find_volumes(config: Mapping[str, Any]) -> dict[str, Source]:
    """{volume: Source} of a dataset: sheet, folder or phantom. Raises a DataError that names the
    key or file."""
    if config["sheet"]:
        volumes = dataset.read_sheet(config["sheet"])
    elif config["root"] == "phantom":
        foreign = [sequence for sequence in config["sequences"] if sequence not in dataset.SEQUENCES]
        if foreign:
            raise DataError(
                f"config.sequences: the phantom has no sequence {foreign[0]!r}; it has "
                f"{', '.join(dataset.SEQUENCES)}; config.root names a dataset of your own"
            )
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
    if config["sheet"] or config["root"] != "phantom":
        dataset.check_times(path for each in volumes.values() for path in (each.image, each.mask))
    for name in config["overrides"]:
        if name not in volumes:
            near = difflib.get_close_matches(name, list(volumes), 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(f"config.overrides: there is no volume {name!r}{hint}")
    held = list(dict.fromkeys(each.sequence for each in volumes.values()))
    if not set(held) & set(config["sequences"]):
        where = config["sheet"] or config["root"]
        raise DataError(
            f"config.sequences: {where} holds no volume of {', '.join(config['sequences'])}; it holds "
            f"{', '.join(held)}: add 'sequences=[{', '.join(held)}]' to what stands behind --config"
        )
    return volumes
