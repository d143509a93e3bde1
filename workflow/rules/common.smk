# Config, volumes, and every helper that a rule uses.
import os
import sys
from pathlib import Path

from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from lumbarflow import DataError, dataset, settings

PHANTOM = "results/phantom"  # never in a folder of the user's
TABLES = ("summary", "table1", "table2", "table3", "leakage")
# Library modules that each stage's results depend on, itself and by import (tests/unit/test_project.py
# holds the list to the imports). They are inputs of the stage's rules, so that an edit reruns them.
LIBRARY = {
    "phantom": ["phantom", "volumes", "files"],
    "download": ["download", "files"],
    "slices": ["slices", "volumes", "dataset", "files"],
    "labels": ["apta", "labels", "slices", "volumes", "files"],
    "weights": ["weights", "files"],
    "manifest": ["weights", "files"],
    "split": ["splits", "files"],
    "train": ["training", "networks", "losses", "batches", "splits", "slices", "device", "files"],
    "predict": ["prediction", "batches", "slices", "volumes", "device", "files"],
    "evaluate": ["evaluation", "metrics", "batches", "labels", "slices", "volumes", "files"],
    "leakage": ["leakage", "evaluation", "prediction", "metrics", "batches", "slices", "files"],
    "tables": ["tables", "metrics", "weights", "files"],
    "figures": ["figures", "batches", "slices", "files"],
}


def get_source(*parts):
    """A file of the workflow, relative to the working folder: a project that is moved stays up to date."""
    return os.path.relpath(os.path.join(workflow.basedir, "workflow", *parts))


def get_library(stage):
    return [get_source("scripts", "lumbarflow", f"{module}.py") for module in ("__init__", "job", *LIBRARY[stage])]


def get_published(name):
    return get_source("published", f"{name}.csv")


def get_volumes():
    """{volume: (image, mask)} of the wanted sequences."""
    if config["root"] == "phantom":
        names = [f"{n + 1}_{s}" for n in range(config["phantom"]["patients"]) for s in config["sequences"]]
        return {name: (f"{PHANTOM}/images/{name}.mha", f"{PHANTOM}/masks/{name}.mha") for name in names}
    # Snakemake does not know its targets yet; a job on a cluster writes `download:`
    if "download" in config and any(argument.partition(":")[0] == "download" for argument in sys.argv):
        return {}
    if not config["root"]:
        raise DataError(
            "config.root: no dataset folder given; add `--config root=FOLDER` (SPIDER's layout: images/, masks/), "
            "or `snakemake download --configfile config/spider.yaml` to fetch SPIDER, or run without --configfile"
        )
    volumes = dataset.find_volumes(config["root"])
    wanted = {name: paths for name, paths in volumes.items() if get_sequence(name) in config["sequences"]}
    if not wanted:
        raise DataError(f"config.sequences: {config['root']} holds no volume of {', '.join(config['sequences'])}")
    return wanted


def get_sequence(volume):
    return dataset.parse_name(volume)[1]


try:
    EXPERIMENTS = settings.load(config, Path(workflow.basedir) / "workflow" / "schemas")
    VOLUMES = get_volumes()
except DataError as error:
    # a WorkflowError would wrap the line in places of the Snakefile, which mean nothing to a user
    logger.error(f"Error: {error}")
    sys.exit(1)

SEQUENCES = [s for s in config["sequences"] if any(get_sequence(v) == s for v in VOLUMES)]
for sequence in [s for s in config["sequences"] if VOLUMES and s not in SEQUENCES]:
    logger.info(f"Sequence {sequence}: no volumes in {config['root']}; left out of all tables.")


wildcard_constraints:
    volume=r"[A-Za-z0-9]+_(t1|t2|t2_SPACE)",
    sequence="t1|t2|t2_SPACE",
    slices=r"[A-Za-z0-9_]+",
    labels=r"[A-Za-z0-9_]+",
    filter=r"[A-Za-z0-9_]+",
    experiment=r"[A-Za-z0-9_]+",
    fold=r"\d+",
    seed=r"\d+",


def get_image(wildcards):
    return VOLUMES[wildcards.volume][0]


def get_mask(wildcards):
    return VOLUMES[wildcards.volume][1]


def get_volumes_of(sequence):
    return [volume for volume in VOLUMES if get_sequence(volume) == sequence]


def get_patients():
    """{patient: its sequences}, of the whole dataset."""
    patients = {}
    for volume in VOLUMES:
        patient, sequence = dataset.parse_name(volume)
        patients.setdefault(patient, []).append(sequence)
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


def get_overview(wildcards):
    """SPIDER's overview.csv, for those experiments that follow its division of the patients."""
    if get_split_kind(wildcards) != "official":
        return []
    return [os.path.join(PHANTOM if config["root"] == "phantom" else config["root"], "overview.csv")]


def get_tau(wildcards):
    return EXPERIMENTS[wildcards.experiment]["evaluation"]["tau"]


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


def get_recipes(experiment):
    settings = EXPERIMENTS[experiment]
    return {key: settings[key] for key in ("slices", "labels", "filter")}


def get_manifest(wildcards):
    recipes = get_recipes(wildcards.experiment)
    return f"results/manifests/{recipes['slices']}/{recipes['labels']}/{recipes['filter']}/{wildcards.sequence}.csv"


def get_slice_tables(wildcards):
    recipe = EXPERIMENTS[wildcards.experiment]["slices"]
    return expand("results/slices/{slices}/{volume}.csv", slices=recipe, volume=get_volumes_of(wildcards.sequence))


def get_label_tables(wildcards):
    recipes = get_recipes(wildcards.experiment)
    return expand("results/labels/{slices}/{labels}/{volume}.csv", volume=get_volumes_of(wildcards.sequence), **recipes)


def get_slice_folder(wildcards):
    return f"results/slices/{EXPERIMENTS[wildcards.experiment]['slices']}"


def get_label_folder(wildcards):
    recipes = get_recipes(wildcards.experiment)
    return f"results/labels/{recipes['slices']}/{recipes['labels']}"


def get_source_masks(wildcards):
    return [VOLUMES[volume][1] for volume in get_volumes_of(wildcards.sequence)]


def get_runs(pattern):
    """One path for each experiment, sequence, fold and seed that is to run."""
    return [
        pattern.format(experiment=name, sequence=sequence, fold=fold, seed=seed)
        for name, settings in EXPERIMENTS.items()
        for sequence in SEQUENCES
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


def get_train_env():
    return "../../envs/train-cuda.yaml" if config["device"] == "gpu" else "../../envs/train-cpu.yaml"
