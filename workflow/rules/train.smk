# Stages 5 and 6. In: a manifest. Out: the split into training, validation and test set; the trained
# network with its history and everything that prediction needs to know.


rule split:
    """Split slices or patients into training, validation and test set."""
    input:
        manifests=expand(
            "results/manifests/{slices}/{labels}/{filter}/{source}.csv",
            slices=lookup("{experiment}/slices", within=EXPERIMENTS),
            labels=lookup("{experiment}/labels", within=EXPERIMENTS),
            filter=lookup("{experiment}/filter", within=EXPERIMENTS),
            source=lookup("{sequence}", within=PLAN.trained_on),
        ),
        overview=branch(
            lookup("{experiment}/split/kind", within=EXPERIMENTS),
            cases={"official": [PLAN.overview], "patient": [], "slice": []},
        ),
    output:
        "results/experiments/<run>/split.csv",
    log:
        "results/logs/split/<run>.log",
    benchmark:
        "results/benchmarks/split/<run>.tsv"
    priority: 1  # trainings wait for it
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("split"),
        split=lookup("{experiment}/split", within=EXPERIMENTS),
        # a split of slices does not depend on the list of patients
        patients=branch(
            lookup("{experiment}/split/kind", within=EXPERIMENTS),
            cases={"official": PLAN.patients, "patient": PLAN.patients, "slice": []},
        ),
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
    priority: 2  # the longest jobs start first
    conda:
        "../../envs/train-cuda.yaml" if config["device"] == "gpu" else "../../envs/train-cpu.yaml"
    threads: 8
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
        training=1,  # running.smk limits how many run at a time on one machine
        mem_mb=grow(8000),
        runtime=grow(720),
    params:
        code=get_code("train", "network", "normalisation", "loss"),
        split=lookup("{experiment}/split", within=EXPERIMENTS),
        normalisation=lookup("{experiment}/normalisation", within=EXPERIMENTS),
        network=lookup("{experiment}/network", within=EXPERIMENTS),
        loss=lookup("{experiment}/loss", within=EXPERIMENTS),
        augmentation=lookup("{experiment}/augmentation", within=EXPERIMENTS),
        training=lookup("{experiment}/training", within=EXPERIMENTS),
        device=config["device"],
        backend=os.environ.get("KERAS_BACKEND", "tensorflow"),
        slices=get_slice_recipe,
    script:
        "../scripts/train.py"
