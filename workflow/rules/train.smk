# Stages 5 and 6. In: a manifest. Out: who trains, validates and is tested; the trained network with
# its history and everything that prediction needs to know.


def get_split_manifests(wildcards):
    """The manifest of a sequence, or of every one for a training on all."""
    recipes = {key: EXPERIMENTS[wildcards.experiment][key] for key in ("slices", "labels", "filter")}
    sequences = PLAN.sequences_of(wildcards.sequence)
    return expand(rules.manifest.output[0], sequence=sequences, **recipes)


def get_official(wildcards):
    """The overview, for those experiments that follow the official division of the patients."""
    return [PLAN.overview] if EXPERIMENTS[wildcards.experiment]["split"]["kind"] == "official" else []


def get_patients(wildcards):
    """Who is dealt out: a split of slices does not depend on who else is in the dataset."""
    return {} if EXPERIMENTS[wildcards.experiment]["split"]["kind"] == "slice" else PLAN.patients


def get_training_settings(wildcards):
    keys = ("normalisation", "network", "loss", "augmentation", "training", "split")
    return {key: EXPERIMENTS[wildcards.experiment][key] for key in keys}


rule split:
    """Deal slices or patients out to training, validation and test."""
    input:
        manifests=get_split_manifests,
        overview=get_official,
    output:
        "results/experiments/<run>/split.csv",
    log:
        "results/logs/split/<run>.log",
    benchmark:
        "results/benchmarks/split/<run>.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("split"),
        split=lookup("{experiment}/split", within=EXPERIMENTS),
        patients=get_patients,
    script:
        "../scripts/split.py"


rule train:
    """Train the network of an experiment on one sequence, or on all together."""
    input:
        split="results/experiments/<run>/split.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        model="results/experiments/<run>/model.keras",
        history="results/experiments/<run>/history.csv",
        about="results/experiments/<run>/model.json",
    log:
        "results/logs/train/<run>.log",
    benchmark:
        "results/benchmarks/train/<run>.tsv"
    conda:
        "../../envs/train-cuda.yaml" if config["device"] == "gpu" else "../../envs/train-cpu.yaml"
    threads: 8
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        training=1,  # common.smk limits how many run at a time on one machine
        mem_mb=grow(8000),
        runtime=grow(720),
    params:
        code=get_code("train", "network", "normalisation", "loss"),
        settings=get_training_settings,
        device=config["device"],
    script:
        "../scripts/train.py"
