"""Rule evaluate: metrics of each image and class, of the stack, and of each volume."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    from itertools import groupby
    from pathlib import Path

    import numpy as np

    from lumbarflow import files
    from lumbarflow.learning import batches
    from lumbarflow.measures import evaluation, instances, scoring

    compile_once(evaluation.image_rows, *np.zeros((2, 2, 2), np.uint8), (1, 1), 1.0)
    params, pictures = snakemake.params, Path(snakemake.input.table).with_suffix("")
    images, in_3d, structures, stacks = [], [], [], {}
    for volume, group in groupby(files.read_csv(snakemake.input.table), key=lambda row: row["volume"]):
        scored = [row for row in group if row["scored"] == "true"]
        truths = batches.load_masks(scored, Path(snakemake.input.labels[0]).parent, params.size, params.resize)
        rows, stack = scoring.pictures(scored, pictures, truths, params.tau)
        images += rows
        stacks.setdefault(scored[0]["sequence"], []).extend(stack)
        restored = pictures.with_name("volumes") / f"{volume}.mha"
        if restored.is_file():
            labelled = Path(snakemake.input.structures).with_suffix("") / restored.name
            found = scoring.volume(scored, restored, labelled, params.sources[volume], params.tau)
            for table, rows in zip((images, in_3d, structures), found, strict=True):
                table += rows
    files.write_csv(snakemake.output.structures, structures, instances.PER_INSTANCE)
    files.write_csv(snakemake.output.images, images, evaluation.PER_IMAGE)
    files.write_csv(snakemake.output.volumes, in_3d, evaluation.PER_VOLUME)
    stacked = evaluation.stack_rows(stacks, params.tau) if params.surface == "stack" else []
    files.write_csv(snakemake.output.stack, stacked, evaluation.PER_STACK)


run(main, globals().get("snakemake"))
