# Stages 7 and 8, and the leakage canary. In: a trained network and the slices of its test set. Out: class masks,
# the sums that the released metrics need; where the split is by patients, whole volumes on the source grid and their
# single structures; and metrics of each image, class, volume and structure.


rule predict:
    """Segment the test slices on the network's grid and on the source grid; of a patient split, whole test volumes."""
    input:
        model=get_trained(rules.train.output.model),
        about=get_trained(rules.train.output.about),
        split="results/experiments/<tested_run>/split.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        pictures=directory("results/experiments/<test>/predictions"),
        volumes=directory("results/experiments/<test>/volumes"),
        table="results/experiments/<test>/predictions.csv",
        decision="results/experiments/<test>/decision.json",
        reliability="results/experiments/<test>/reliability.csv",
    log:
        "results/logs/predict/<test>.log",
    benchmark:
        "results/benchmarks/predict/<test>.tsv"
    wildcard_constraints:
        experiment=LEARNT,
    conda:
        "../../envs/train-cpu.yaml"
    threads: 4
    resources:
        mem_mb=grow(4000),
        runtime=grow(120),
    params:
        code=get_code("predict", "network", "normalisation"),
        kind=lookup("{experiment}/split/kind", within=EXPERIMENTS),
        canvas_size=lambda wildcards: get_slice_recipe(wildcards)["size"],
        prediction=lookup("{experiment}/prediction", within=EXPERIMENTS),
    script:
        "../scripts/predict.py"


rule structures:
    """Tell single vertebrae and discs of the predicted volumes apart, and number them from the lowest up."""
    input:
        table="results/experiments/<test>/predictions.csv",
    output:
        volumes=directory("results/experiments/<test>/structures"),
        table="results/experiments/<test>/structures.csv",
    log:
        "results/logs/structures/<test>.log",
    benchmark:
        "results/benchmarks/structures/<test>.tsv"
    wildcard_constraints:
        experiment=LEARNT,
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow(60),
    params:
        code=get_code("structures"),
    script:
        "../scripts/structures.py"


rule ceiling:
    """Score a perfect class mask once its structures are told apart: what it lacks, telling them apart has cost."""
    input:
        get_volume("files", "mask"),
    output:
        "results/ceiling/{volume}.csv",
    log:
        "results/logs/ceiling/{volume}.log",
    benchmark:
        "results/benchmarks/ceiling/{volume}.tsv"
    priority: 3  # masks that do not suit the label scheme are told before slices are made
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(15),
    params:
        code=get_code("ceiling"),
        source=get_volume("stored", "mask"),
        patient=get_volume("patient"),
        sequence=get_volume("sequence"),
    script:
        "../scripts/ceiling.py"


rule evaluate:
    """Compare predictions with the truth: each image, each class, each volume."""
    input:
        table="results/experiments/<test>/predictions.csv",
        structures="results/experiments/<test>/structures.csv",
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
        masks=get_masks,
    output:
        images="results/experiments/<test>/metrics.csv",
        stack="results/experiments/<test>/metrics_stack.csv",
        volumes="results/experiments/<test>/metrics_3d.csv",
        structures="results/experiments/<test>/metrics_instances.csv",
    log:
        "results/logs/evaluate/<test>.log",
    benchmark:
        "results/benchmarks/evaluate/<test>.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(120),
    params:
        code=get_code("evaluate"),
        tau=lookup("{experiment}/evaluation/tau", within=EXPERIMENTS),
        surface=lookup("{experiment}/evaluation/surface", within=EXPERIMENTS),
        size=lookup("{experiment}/network/image_size", within=EXPERIMENTS),
        resize=lookup("{experiment}/network/resize", within=EXPERIMENTS),
        sources=get_stored_masks,
    script:
        "../scripts/evaluate.py"


rule leakage:
    """Measure what training knew of the test set, and score the nearest training masks as predictions."""
    input:
        split="results/experiments/<run>/split.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        shares="results/experiments/<run>/leakage.csv",
        images="results/experiments/<run>/copied.csv",
        stack="results/experiments/<run>/copied_stack.csv",
    log:
        "results/logs/leakage/<run>.log",
    benchmark:
        "results/benchmarks/leakage/<run>.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        code=get_code("leakage"),
        kind=lookup("{experiment}/split/kind", within=EXPERIMENTS),
        tau=lookup("{experiment}/evaluation/tau", within=EXPERIMENTS),
        surface=lookup("{experiment}/evaluation/surface", within=EXPERIMENTS),
        size=lookup("{experiment}/network/image_size", within=EXPERIMENTS),
        resize=lookup("{experiment}/network/resize", within=EXPERIMENTS),
    script:
        "../scripts/leakage.py"


# decided as at home: patients of the other sequence are there to test alone
use rule predict as predict_across with:
    input:
        model=get_trained(rules.train.output.model),
        about=get_trained(rules.train.output.about),
        split="results/experiments/<tested_run>/split.csv",
        slices=get_per_volume("results/slices/{slices}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
        decision=["results/experiments/<run>/decision.json"],
    pathvars:
        test="<run>/across/{tested}",
        # all sequences have the same split of patients: these were not in training either
        tested_run="{experiment}/{tested}/fold-{fold}/seed-{seed}",


use rule structures as structures_across with:
    pathvars:
        test="<run>/across/{tested}",


use rule evaluate as evaluate_across with:
    pathvars:
        test="<run>/across/{tested}",
