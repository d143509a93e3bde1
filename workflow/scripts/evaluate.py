"""Rule evaluate: metrics of each image and class, of the stack, and of each volume."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    from itertools import groupby
    from pathlib import Path

    import numpy as np

    from lumbarflow import files
    from lumbarflow.data import masks, predictions, volumes
    from lumbarflow.learning import batches
    from lumbarflow.measures import evaluation, instances, scoring

    compile_once(evaluation.image_rows, *np.zeros((2, 2, 2), np.uint8), (1, 1), 1.0)
    pictures, single = (Path(path).with_suffix("") for path in (snakemake.input.table, snakemake.input.structures))
    params, images, in_3d, structures, stacks = snakemake.params, [], [], [], {}
    whole = {path.stem: path for path in predictions.whole(snakemake.input.table)}
    predictions.whole(snakemake.input.structures, "structures")  # as they are listed
    for name, group in groupby(files.read_csv(snakemake.input.table), key=lambda row: row["volume"]):
        predicted = list(group)
        scored = [row for row in predicted if row["scored"] == "true"]
        truths = batches.load_masks(scored, Path(snakemake.input.labels[0]).parent, params.size, params.resize)
        rows, stack = scoring.pictures(scored, pictures, truths, params.tau)
        images += rows
        stacks.setdefault(scored[0]["sequence"], []).extend(stack)
        truth, restored = masks.read(**params.sources[name]), whole.get(name)
        if restored is None:  # a split of slices predicts only its test slices
            images += scoring.planes(predicted, scoring.read_planes(predicted, pictures / "plane"), truth, params.tau)
            continue
        volume = volumes.read(restored)
        images += scoring.planes(predicted, dict(enumerate(volume.array)), truth, params.tau)
        labelled = single / restored.name if masks.tells_structures(params.sources[name].get("scheme")) else None
        of_classes, of_structures = scoring.volume(predicted[0], volume, labelled, truth, params.tau)
        in_3d += of_classes
        structures += of_structures
    files.write_csv(snakemake.output.structures, structures, instances.PER_INSTANCE)
    files.write_csv(snakemake.output.images, images, evaluation.PER_IMAGE)
    files.write_csv(snakemake.output.volumes, in_3d, evaluation.PER_VOLUME)
    stacked = evaluation.stack_rows(stacks, params.tau) if params.surface == "stack" else []
    files.write_csv(snakemake.output.stack, stacked, evaluation.PER_STACK)


run(main, globals().get("snakemake"))
