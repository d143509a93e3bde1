# Stages 5 and 6. In: a manifest. Out: who trains, validates and is tested; the trained network with
# its history and everything that prediction needs to know.


rule split:
    """Deal slices or patients out to training, validation and test."""
    input:
        manifests=get_split_manifests,
        overview=get_overview,
        library=get_library("split"),
    output:
        "results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/split.csv",
    log:
        "results/logs/split/{experiment}/{sequence}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/split/{experiment}/{sequence}/{fold}-{seed}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        split=get_setting("split"),
        patients=get_patient_order,
    script:
        "../scripts/split.py"


rule train:
    """Train the network of an experiment on one sequence, or on all together."""
    input:
        split="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/split.csv",
        slices=get_slice_tables,
        labels=get_label_tables,
        library=get_library("train"),
    output:
        model="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.keras",
        history="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/history.csv",
        about="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.json",
    log:
        "results/logs/train/{experiment}/{sequence}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/train/{experiment}/{sequence}/{fold}-{seed}.tsv"
    conda:
        get_train_env()
    threads: 8
    resources:
        gpu=1,
        mem_mb=grow(8000),
        runtime=grow(720),
    params:
        settings=get_setting("normalisation", "network", "loss", "augmentation", "training", "split"),
        slice_folder=get_slice_folder,
        label_folder=get_label_folder,
        device=config["device"],
        # not an output, which Snakemake would delete before a rerun
        resume="results/resume/{experiment}/{sequence}/fold-{fold}/seed-{seed}",
    script:
        "../scripts/train.py"
