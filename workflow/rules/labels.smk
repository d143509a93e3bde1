# Stage 2. In: one volume's mask and the table of its slices. Out: class masks (0 background,
# 1 vertebrae, 2 spinal canal, 3 intervertebral disc) on the canvas of the slices, and a table of them.


def get_mask(wildcards):
    return dataset.parts(VOLUMES[wildcards.volume]["mask"])


def get_stored_mask(wildcards):
    return PLAN.stored(wildcards.volume, "mask")


rule label_slices:
    """Turn a volume's labels into class masks, by the paper's APTA or by exact lookup."""
    input:
        mask=get_mask,
        slices="results/slices/{slices}/{volume}.csv",
    output:
        pictures=directory("results/labels/{slices}/{labels}/{volume}"),
        table="results/labels/{slices}/{labels}/{volume}.csv",
    log:
        "results/logs/label_slices/{slices}/{labels}/{volume}.log",
    benchmark:
        "results/benchmarks/label_slices/{slices}/{labels}/{volume}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(15),
    params:
        code=get_code("label_slices"),
        recipe=lookup("labels/{labels}", within=config),
        source=get_stored_mask,
        canvas_size=lookup("slices/{slices}/size", within=config),
    script:
        "../scripts/label_slices.py"
