# Stage 1. In: one volume. Out: its sagittal slices as 8-bit PNG, and a table of them with hashes
# and everything that is needed to put a prediction back on the source grid.


rule extract_slices:
    """Turn a volume upright, cut it into sagittal slices and scale their greys to 8 bits."""
    input:
        image=lookup("{volume}/files/image", within=VOLUMES),
    output:
        pictures=directory("results/slices/{slices}/{volume}"),
        table="results/slices/{slices}/{volume}.csv",
    log:
        "results/logs/extract_slices/{slices}/{volume}.log",
    benchmark:
        "results/benchmarks/extract_slices/{slices}/{volume}.tsv"
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(15),
    params:
        code=get_code("extract_slices"),
        recipe=lookup("slices/{slices}", within=config),
        source=lookup("{volume}/stored/image", within=VOLUMES),
        patient=lookup("{volume}/patient", within=VOLUMES),
        sequence=lookup("{volume}/sequence", within=VOLUMES),
    script:
        "../scripts/extract_slices.py"
