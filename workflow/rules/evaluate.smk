# Stages 7 and 8, and the leakage canary. In: a trained network and the slices of its test set. Out: class masks, the sums that
# the released metrics need, whole volumes on the source grid where the split is by patients, and
# metrics of each image, class and volume.


rule predict:
    """Segment the test images, and every slice of the test volumes of a patient split."""
    input:
        model="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.keras",
        about="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.json",
        split="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/split.csv",
        slices=get_slice_tables,
        labels=get_label_tables,
        library=get_library("predict"),
    output:
        pictures=directory("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/predictions"),
        volumes=directory("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/volumes"),
        table="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/predictions.csv",
        components="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/min_component_mm3.json",
    log:
        "results/logs/predict/{experiment}/{sequence}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/predict/{experiment}/{sequence}/{fold}-{seed}.tsv"
    conda:
        "../../envs/train-cpu.yaml"
    threads: 4
    resources:
        mem_mb=grow(4000),
        runtime=grow(120),
    params:
        kind=get_split_kind,
        slice_folder=get_slice_folder,
        label_folder=get_label_folder,
        canvas_size=get_canvas_size,
        prediction=get_prediction,
    script:
        "../scripts/predict.py"


rule evaluate:
    """Compare predictions with the truth: each image, each class, each volume."""
    input:
        table="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/predictions.csv",
        labels=get_label_tables,
        masks=get_mask_files,
        library=get_library("evaluate"),
    output:
        images="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics.csv",
        stack="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics_stack.csv",
        volumes="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics_3d.csv",
        structures="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/metrics_instances.csv",
    log:
        "results/logs/evaluate/{experiment}/{sequence}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/evaluate/{experiment}/{sequence}/{fold}-{seed}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(120),
    params:
        tau=get_tau,
        grid=get_network_grid,
        label_folder=get_label_folder,
        sources=get_stored_masks,
    script:
        "../scripts/evaluate.py"


rule leakage:
    """Count what training knew of the test set, and score copying the nearest training mask."""
    input:
        split="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/split.csv",
        slices=get_slice_tables,
        labels=get_label_tables,
        library=get_library("leakage"),
    output:
        shares="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/leakage.csv",
        images="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/copied.csv",
        stack="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/copied_stack.csv",
    log:
        "results/logs/leakage/{experiment}/{sequence}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/leakage/{experiment}/{sequence}/{fold}-{seed}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow(60),
    params:
        kind=get_split_kind,
        tau=get_tau,
        grid=get_network_grid,
        slice_folder=get_slice_folder,
        label_folder=get_label_folder,
    script:
        "../scripts/leakage.py"


use rule predict as predict_across with:
    input:
        model="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.keras",
        about="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/model.json",
        # patients are dealt out over all sequences alike: these were not trained on either
        split="results/experiments/{experiment}/{tested}/fold-{fold}/seed-{seed}/split.csv",
        slices=get_slice_tables,
        labels=get_label_tables,
        library=get_library("predict"),
    output:
        pictures=directory(
            "results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/predictions"
        ),
        volumes=directory("results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/volumes"),
        table="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/predictions.csv",
        components="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/min_component_mm3.json",
    log:
        "results/logs/predict_across/{experiment}/{sequence}/{tested}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/predict_across/{experiment}/{sequence}/{tested}/{fold}-{seed}.tsv"


use rule evaluate as evaluate_across with:
    input:
        table="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/predictions.csv",
        labels=get_label_tables,
        masks=get_mask_files,
        library=get_library("evaluate"),
    output:
        images="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/metrics.csv",
        stack="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/metrics_stack.csv",
        volumes="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/metrics_3d.csv",
        structures="results/experiments/{experiment}/{sequence}/fold-{fold}/seed-{seed}/across/{tested}/metrics_instances.csv",
    log:
        "results/logs/evaluate_across/{experiment}/{sequence}/{tested}/{fold}-{seed}.log",
    benchmark:
        "results/benchmarks/evaluate_across/{experiment}/{sequence}/{tested}/{fold}-{seed}.tsv"
