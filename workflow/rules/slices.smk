# Stage 1. In: one volume. Out: its sagittal slices as 8-bit PNG, and a table of them with hashes
# and everything that is needed to put a prediction back on the source grid.


rule extract_slices:
    """Reorient a volume, cut it into sagittal slices and scale their greys to 8 bits."""
    input:
        image=get_volume("files", "image"),
    output:
        pictures=directory("results/slices/{slices}/{volume}"),
        table="results/slices/{slices}/{volume}.csv",
    log:
        "results/logs/extract_slices/{slices}/{volume}.log",
    benchmark:
        "results/benchmarks/extract_slices/{slices}/{volume}.tsv"
    priority: 1  # trainings wait for it
    conda:
        "../../envs/base.yaml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow(15),
    params:
        code=get_code("extract_slices"),
        recipe=lookup("{slices}", within=config["slices"]),
        source=get_volume("stored", "image"),
        patient=get_volume("patient"),
        sequence=get_volume("sequence"),
    script:
        "../scripts/extract_slices.py"
