# nnU-Net as a rival, in an environment of its own (`make install ENV=nnunet`). In: volumes, and the splits of an
# experiment. Out: nnU-Net's dataset with the same folds, and its label volumes of the test volumes, which rivals.smk
# takes over.


localrules:
    export_nnunet,


rule nnunet_dataset:
    """The volumes of an experiment with a split by patients as nnU-Net's raw dataset, with splits_final.json."""
    input:
        splits=lambda wildcards: get_each(rules.split.output[0], PLAN.folds_of(**wildcards)),
        files=lambda wildcards: [
            part
            for name in get_volumes(wildcards)
            for kind in ("image", "mask")
            for part in VOLUMES[name]["files"][kind]
        ],
    output:
        raw=directory("results/nnunet/{experiment}/{sequence}/raw"),
    log:
        "results/logs/nnunet_dataset/{experiment}/{sequence}.log",
    benchmark:
        "results/benchmarks/nnunet_dataset/{experiment}/{sequence}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(60),
    params:
        code=get_code("nnunet_dataset"),
        sources=lambda wildcards: {name: VOLUMES[name]["stored"] for name in get_volumes(wildcards)},
    script:
        "../scripts/nnunet_dataset.py"


rule nnunet_plan:
    """nnU-Net checks the dataset, plans, and preprocesses it."""
    input:
        raw=rules.nnunet_dataset.output.raw,
    output:
        preprocessed=directory("results/nnunet/{experiment}/{sequence}/{configuration}"),
    log:
        "results/logs/nnunet_plan/{experiment}/{sequence}/{configuration}.log",
    benchmark:
        "results/benchmarks/nnunet_plan/{experiment}/{sequence}/{configuration}.tsv"
    wildcard_constraints:
        configuration="2d|3d_fullres|3d_lowres",
    conda:
        "../../envs/nnunet.yaml"
    threads: 4
    resources:
        mem_mb=grow(8000),
        runtime=grow(240),
    params:
        code=get_code("nnunet_plan"),
    script:
        "../scripts/nnunet_plan.py"


rule nnunet_train:
    """nnU-Net's training on one fold, of as many epochs and iterations as the experiment says."""
    input:
        preprocessed=lambda wildcards: "results/nnunet/{experiment}/{sequence}/"
        + EXPERIMENTS[wildcards.experiment]["nnunet"]["configuration"],
    output:
        trained=directory("results/nnunet/{experiment}/{sequence}/fold-{fold}/trained"),
    log:
        "results/logs/nnunet_train/{experiment}/{sequence}/fold-{fold}.log",
    benchmark:
        "results/benchmarks/nnunet_train/{experiment}/{sequence}/fold-{fold}.tsv"
    priority: 2  # the longest jobs start first
    conda:
        "../../envs/nnunet.yaml"
    threads: 8
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        training=1,
        mem_mb=grow(16000),
        runtime=grow(2880),
    params:
        code=get_code("nnunet_train"),
        settings=lookup("{experiment}/nnunet", within=EXPERIMENTS),
        # nnU-Net counts the folds of splits_final.json
        fold=lambda wildcards: EXPERIMENTS[wildcards.experiment]["folds"].index(int(wildcards.fold)),
        device=config["device"],
    script:
        "../scripts/nnunet_train.py"


rule nnunet_predict:
    """nnU-Net's label volumes of the test volumes."""
    input:
        trained=rules.nnunet_train.output.trained,
        raw=rules.nnunet_dataset.output.raw,
        split=lambda wildcards: get_each(rules.split.output[0], PLAN.folds_of(**wildcards)),
    output:
        predictions=directory("results/programs/{experiment}/{sequence}/fold-{fold}"),
    log:
        "results/logs/nnunet_predict/{experiment}/{sequence}/fold-{fold}.log",
    benchmark:
        "results/benchmarks/nnunet_predict/{experiment}/{sequence}/fold-{fold}.tsv"
    wildcard_constraints:
        experiment="|".join(name for name, each in EXPERIMENTS.items() if "nnunet" in each) or "(?!)",
    conda:
        "../../envs/nnunet.yaml"
    threads: 8
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        mem_mb=grow(8000),
        runtime=grow(240),
    params:
        code=get_code("nnunet_predict"),
        settings=lookup("{experiment}/nnunet", within=EXPERIMENTS),
        fold=lambda wildcards: EXPERIMENTS[wildcards.experiment]["folds"].index(int(wildcards.fold)),
        device=config["device"],
    script:
        "../scripts/nnunet_predict.py"


rule export_nnunet:
    """nnU-Net's raw dataset of each experiment with a split by patients, and each sequence."""
    input:
        [f"results/nnunet/{experiment}/{sequence}/raw" for experiment, sequence in PLAN.packages],
