# Stages 3 and 4. In: class masks. Out: class weights of every image (one table per volume, since one job
# per slice would take hours), and for each sequence the manifest of what the filter keeps and why.


rule class_weights:
    """Measure each class's share of each image (paper, section 3.2.2)."""
    input:
        labels="results/labels/{slices}/{labels}/{volume}.csv",
        slices="results/slices/{slices}/{volume}.csv",
    output:
        "results/weights/{slices}/{labels}/{volume}.csv",
    log:
        "results/logs/class_weights/{slices}/{labels}/{volume}.log",
    benchmark:
        "results/benchmarks/class_weights/{slices}/{labels}/{volume}.tsv"
    priority: 1  # trainings wait for it
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("class_weights"),
        pictures=subpath(input.labels, strip_suffix=".csv"),
    script:
        "../scripts/class_weights.py"


rule manifest:
    """Keep the images with enough classes and limited class imbalance; record why the others are dropped."""
    input:
        weights=get_per_volume("results/weights/{slices}/{labels}/{volume}.csv"),
        labels=get_per_volume("results/labels/{slices}/{labels}/{volume}.csv"),
    output:
        "results/manifests/{slices}/{labels}/{filter}/{sequence}.csv",
    log:
        "results/logs/manifest/{slices}/{labels}/{filter}/{sequence}.log",
    benchmark:
        "results/benchmarks/manifest/{slices}/{labels}/{filter}/{sequence}.tsv"
    priority: 1  # trainings wait for it
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(500),
        runtime=grow(15),
    params:
        code=get_code("manifest"),
        filter=lookup("{filter}", within=config["filters"]),
        scheme=PLAN.scheme,
    script:
        "../scripts/manifest.py"
