# Config, volumes, and every helper that a rule uses.
import os
import sys
from difflib import get_close_matches
from pathlib import Path

from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from lumbarflow import DataError, dataset, settings

PHANTOM = "results/phantom"  # never in a folder of the user's
TABLES = ("summary", "table1", "table2", "table3", "leakage")
COMPARISONS = {
    "paper_comparison": "The paper, cell by cell",
    "ladder": "Ladder: what each step costs",
    "paper_audit": "The paper against its formulas",
    "intervals": "95% intervals",
    "ablation": "Ablation",
    "subgroups": "Subgroups",
    "variants": "Every variant of the metrics",
}
CHARTS = {
    "distributions": "Every patient's Dice",
    "ladder": "Figure: ladder",
    "canary": "Figure: the canary",
}
# Library modules that each stage's results depend on, itself and by import (tests/unit/test_project.py
# holds the list to the imports). They are inputs of the stage's rules, so that an edit reruns them.
LIBRARY = {
    "phantom": ["phantom", "volumes", "headers", "files"],
    "download": ["download", "headers", "files"],
    "slices": ["slices", "volumes", "headers", "png", "files"],
    "labels": ["apta", "labels", "slices", "volumes", "headers", "png", "files"],
    "describe": ["survey", "labels", "slices", "volumes", "headers", "files"],
    "dataset": ["audit", "survey", "dataset", "publish", "labels", "slices", "files"],
    "contact_sheet": ["figures", "png", "volumes", "headers", "files"],
    "fidelity": ["audit", "survey", "dataset", "figures", "png", "labels", "slices", "volumes", "headers", "files"],
    "draw_data": ["figures", "labels", "slices", "volumes", "headers", "png", "files"],
    "colour_labels": ["labels", "slices", "png", "files"],
    "weights": ["weights", "png", "files"],
    "manifest": ["weights", "dataset", "files"],
    "split": ["splits", "weights", "files"],
    "train": ["training", "networks", "losses", "batches", "splits", "weights", "slices", "png", "device", "files"],
    "predict": ["prediction", "batches", "slices", "volumes", "headers", "png", "device", "files"],
    "evaluate": [
        "evaluation",
        "instances",
        "metrics",
        "batches",
        "labels",
        "slices",
        "volumes",
        "headers",
        "png",
        "files",
    ],
    "leakage": ["leakage", "evaluation", "prediction", "metrics", "batches", "slices", "png", "files"],
    "tables": ["tables", "publish", "evaluation", "intervals", "metrics", "weights", "files"],
    "compare": ["comparison", "tables", "publish", "evaluation", "intervals", "metrics", "weights", "files"],
    "draw_network": ["charts", "figures", "networks", "prediction", "batches", "slices", "png", "device", "files"],
    "draw_comparisons": [
        "charts",
        "figures",
        "comparison",
        "tables",
        "evaluation",
        "intervals",
        "metrics",
        "weights",
        "files",
    ],
    "figures": ["figures", "batches", "slices", "png", "files"],
}


def get_source(*parts):
    """A file of the workflow, relative to the working folder: a project that is moved stays up to date."""
    return os.path.relpath(os.path.join(workflow.basedir, "workflow", *parts))


def grow(amount):
    """A resource that doubles with each retry of a job: what was killed for want of it gets more."""

    def get(wildcards, attempt):
        return amount * 2 ** (attempt - 1)

    return get


def get_library(stage):
    return [get_source("scripts", "lumbarflow", f"{module}.py") for module in ("__init__", "job", *LIBRARY[stage])]


def get_published(name):
    return get_source("published", f"{name}.csv")


def get_volumes():
    """{volume: whose it is, and where its image and mask are}, of the wanted sequences."""
    if config["sheet"]:
        volumes = dataset.read_sheet(config["sheet"])
    elif config["root"] == "phantom":
        names = [f"{n + 1}_{s}" for n in range(config["phantom"]["patients"]) for s in config["sequences"]]
        paths = {name: [f"{PHANTOM}/{kind}/{name}.mha" for kind in ("images", "masks")] for name in names}
        volumes = {name: dataset.Source(*dataset.parse_name(name), *paths[name]) for name in names}
    # Snakemake does not know its targets yet; a job on a cluster writes `download:`
    elif "download" in config and any(argument.partition(":")[0] == "download" for argument in sys.argv):
        return {}
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
            near = get_close_matches(name, list(volumes), 1, 0.5)
            raise DataError(
                f"config.overrides: there is no volume {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
    wanted = {name: source for name, source in volumes.items() if source.sequence in config["sequences"]}
    if not wanted:
        where = config["sheet"] or config["root"]
        raise DataError(f"config.sequences: {where} holds no volume of {', '.join(config['sequences'])}")
    return wanted


try:
    EXPERIMENTS = settings.load(config, Path(workflow.basedir) / "workflow" / "schemas")
    VOLUMES = get_volumes()
except DataError as error:
    # a WorkflowError would wrap the line in places of the Snakefile, which mean nothing to a user
    logger.error(f"Error: {error}")
    sys.exit(1)

SEQUENCES = [s for s in config["sequences"] if any(v.sequence == s for v in VOLUMES.values())]
for sequence in [s for s in config["sequences"] if VOLUMES and s not in SEQUENCES]:
    logger.info(f"Sequence {sequence}: no volumes in {config['sheet'] or config['root']}; left out of all tables.")


wildcard_constraints:
    volume=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    sequence="t1|t2|t2_SPACE|all",  # all: of a training on every sequence together
    tested="t1|t2|t2_SPACE",
    slices=r"[A-Za-z0-9_]+",
    labels=r"[A-Za-z0-9_]+",
    filter=r"[A-Za-z0-9_]+",
    experiment=r"[A-Za-z0-9_]+",
    fold=r"\d+",
    seed=r"\d+",


def get_image(wildcards):
    return dataset.parts(VOLUMES[wildcards.volume].image)


def get_mask(wildcards):
    return dataset.parts(VOLUMES[wildcards.volume].mask)


def get_stored(volume, kind):
    """What volumes.read needs to know: where the `image` or `mask` is, and what to believe instead of its header."""
    return {"path": getattr(VOLUMES[volume], kind), "override": config["overrides"].get(volume)}


def get_stored_image(wildcards):
    return get_stored(wildcards.volume, "image")


def get_stored_mask(wildcards):
    return get_stored(wildcards.volume, "mask")


def get_patient(wildcards):
    return VOLUMES[wildcards.volume].patient


def get_sequence(wildcards):
    return VOLUMES[wildcards.volume].sequence


def get_volumes_of(sequence):
    return [volume for volume, source in VOLUMES.items() if sequence in (source.sequence, "all")]


def get_patients():
    """{patient: its sequences}, of the whole dataset."""
    patients = {}
    for source in VOLUMES.values():
        patients.setdefault(source.patient, []).append(source.sequence)
    return patients


def get_slice_recipe(wildcards):
    return config["slices"][wildcards.slices]


def get_label_recipe(wildcards):
    return config["labels"][wildcards.labels]


def get_filter(wildcards):
    return config["filters"][wildcards.filter]


def get_setting(*keys):
    """A params function: these settings of the job's experiment, and nothing else of it."""

    def get(wildcards):
        return {key: EXPERIMENTS[wildcards.experiment][key] for key in keys}

    return get


def get_split_kind(wildcards):
    return EXPERIMENTS[wildcards.experiment]["split"]["kind"]


def get_overview_path():
    """SPIDER's overview.csv, or the sample sheet in its place."""
    folder = PHANTOM if config["root"] == "phantom" else config["root"]
    return config["sheet"] or os.path.join(folder, "overview.csv")


def get_known_overview():
    path = get_overview_path()
    return [path] if config["root"] == "phantom" or os.path.isfile(path) else []


def get_overview(wildcards):
    """For those experiments that follow the official division of the patients."""
    return [get_overview_path()] if get_split_kind(wildcards) == "official" else []


def get_tau(wildcards):
    return EXPERIMENTS[wildcards.experiment]["evaluation"]["tau"]


def get_prediction(wildcards):
    return EXPERIMENTS[wildcards.experiment]["prediction"]


def get_network_grid(wildcards):
    network = EXPERIMENTS[wildcards.experiment]["network"]
    return network["image_size"], network["resize"]


def get_patient_order(wildcards):
    """Who is dealt out: a split of slices does not depend on who else is in the dataset."""
    return {} if get_split_kind(wildcards) == "slice" else get_patients()


def get_canvas_size(wildcards):
    return config["slices"][EXPERIMENTS[wildcards.experiment]["slices"]]["size"]


def get_weights(wildcards):
    """Weight tables of all volumes of a sequence."""
    return expand(
        "results/weights/{slices}/{labels}/{volume}.csv",
        volume=get_volumes_of(wildcards.sequence),
        allow_missing=True,
    )


def get_slice_tables_of_recipe(wildcards):
    volumes = get_volumes_of(wildcards.sequence)
    return expand("results/slices/{slices}/{volume}.csv", volume=volumes, allow_missing=True)


def get_label_tables_of_recipe(wildcards):
    volumes = get_volumes_of(wildcards.sequence)
    return expand("results/labels/{slices}/{labels}/{volume}.csv", volume=volumes, allow_missing=True)


def get_exact_labels():
    """The first label recipe that looks labels up, or None."""
    return next((name for name, recipe in config["labels"].items() if recipe["method"] == "lut"), None)


def get_exact_label_tables(wildcards):
    volumes = get_volumes_of(wildcards.sequence)
    return expand(
        "results/labels/{slices}/{exact}/{volume}.csv", exact=get_exact_labels(), volume=volumes, allow_missing=True
    )


def get_masked_slices():
    """(slices, labels, sequence) of every pair of recipes that an experiment uses."""
    pairs = dict.fromkeys((settings["slices"], settings["labels"]) for settings in EXPERIMENTS.values())
    return [(*pair, sequence) for pair in pairs for sequence in SEQUENCES]


def get_each(pattern, recipes):
    """One path for each (slices, labels, sequence)."""
    paths = [pattern.format(slices=slices, labels=labels, sequence=sequence) for slices, labels, sequence in recipes]
    return list(dict.fromkeys(paths))


def get_repairs():
    """Those of them that are repaired pictures, and have an exact lookup to be held against."""
    if get_exact_labels() is None:
        return []
    return [recipes for recipes in get_masked_slices() if config["labels"][recipes[1]]["method"] == "apta"]


def get_recipes(experiment):
    settings = EXPERIMENTS[experiment]
    return {key: settings[key] for key in ("slices", "labels", "filter")}


def get_split_manifests(wildcards):
    """The manifest of a sequence, or of every one for a training on all."""
    sequences = SEQUENCES if wildcards.sequence == "all" else [wildcards.sequence]
    pattern = "results/manifests/{slices}/{labels}/{filter}/{sequence}.csv"
    return expand(pattern, sequence=sequences, **get_recipes(wildcards.experiment))


def get_tested(wildcards):
    """The sequence that a network is tested on: as a rule the one it was trained on."""
    return wildcards.get("tested", wildcards.sequence)


def get_slice_tables(wildcards):
    recipe = EXPERIMENTS[wildcards.experiment]["slices"]
    volumes = get_volumes_of(get_tested(wildcards))
    return expand("results/slices/{slices}/{volume}.csv", slices=recipe, volume=volumes)


def get_label_tables(wildcards):
    recipes = get_recipes(wildcards.experiment)
    volumes = get_volumes_of(get_tested(wildcards))
    return expand("results/labels/{slices}/{labels}/{volume}.csv", volume=volumes, **recipes)


def get_slice_folder(wildcards):
    return f"results/slices/{EXPERIMENTS[wildcards.experiment]['slices']}"


def get_label_folder(wildcards):
    recipes = get_recipes(wildcards.experiment)
    return f"results/labels/{recipes['slices']}/{recipes['labels']}"


def get_mask_files(wildcards):
    return [part for volume in get_volumes_of(get_tested(wildcards)) for part in dataset.parts(VOLUMES[volume].mask)]


def get_stored_masks(wildcards):
    return {volume: get_stored(volume, "mask") for volume in get_volumes_of(get_tested(wildcards))}


def get_trainings(settings):
    return ["all"] if settings["train_on"] == "all" else SEQUENCES


def get_runs(pattern):
    """One path for each experiment, sequence, fold and seed that is to run."""
    return [
        pattern.format(experiment=name, sequence=sequence, fold=fold, seed=seed)
        for name, settings in EXPERIMENTS.items()
        for sequence in get_trainings(settings)
        for fold in settings["folds"]
        for seed in settings["seeds"]
    ]


def get_first_model(wildcards):
    """Of one of an experiment's trainings: all build the same network."""
    pattern = "results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.keras"
    return next(path for path in get_runs(pattern) if Path(path).parts[2] == wildcards.experiment)


def get_runs_across(pattern):
    """One path for each network that is tested on a sequence it was not trained on."""
    return [
        pattern.format(experiment=name, sequence=sequence, tested=tested, fold=fold, seed=seed)
        for name, settings in EXPERIMENTS.items()
        for sequence in get_trainings(settings)
        for tested in SEQUENCES
        if tested in settings["cross_test"] and sequence not in (tested, "all")
        for fold in settings["folds"]
        for seed in settings["seeds"]
    ]


def get_manifests():
    """{manifest: names of the experiments that use it}."""
    manifests = {}
    for name in EXPERIMENTS:
        for sequence in SEQUENCES:
            path = "results/manifests/{slices}/{labels}/{filter}/".format(**get_recipes(name)) + f"{sequence}.csv"
            manifests.setdefault(path, []).append(name)
    return manifests


def get_data_figures():
    """Figures 1 to 6 of each sequence, for each set of recipes that an experiment uses."""
    folders = [Path(path.replace("results/manifests", "results/figures/data")) for path in get_manifests()]
    return [str(folder.with_suffix("") / "masks.png") for folder in folders]


def get_train_env():
    return "../../envs/train-cuda.yaml" if config["device"] == "gpu" else "../../envs/train-cpu.yaml"


onstart:
    # Snakemake 9.27 limits jobs a second (--max-jobs-per-timespan) with a timer that each look at the queue winds up
    # again: n finished jobs mean n looks a second, half a core after 300 jobs. No option turns the limit off.
    workflow.scheduler.job_rate_limiter = None
