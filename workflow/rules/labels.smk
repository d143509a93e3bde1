# Stage 2. In: one volume's mask and the table of its slices. Out: class masks (0 background,
# 1 vertebrae, 2 spinal canal, 3 intervertebral disc) on the canvas of the slices, and a table of them.


rule label_slices:
    """Turn a volume's labels into class masks, by the paper's APTA or by exact lookup."""
    input:
        mask=get_volume("files", "mask"),
        slices="results/slices/{slices}/{volume}.csv",
    output:
        pictures=directory("results/labels/{slices}/{labels}/{volume}"),
        table="results/labels/{slices}/{labels}/{volume}.csv",
    log:
        "results/logs/label_slices/{slices}/{labels}/{volume}.log",
    benchmark:
        "results/benchmarks/label_slices/{slices}/{labels}/{volume}.tsv"
    priority: 1  # trainings wait for it
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(15),
    params:
        code=get_code("label_slices", "labels"),
        recipe=lookup("{labels}", within=config["labels"]),
        source=get_volume("stored", "mask"),
        canvas_size=lookup("{slices}/size", within=config["slices"]),
    script:
        "../scripts/label_slices.py"
