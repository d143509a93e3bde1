"""Rule leakage: what training knew of the test set, and the score of copying the nearest training mask."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    import logging
    from pathlib import Path

    import numpy as np

    from lumbarflow import DataError, files
    from lumbarflow.learning import batches
    from lumbarflow.measures import evaluation, leakage, scoring

    compile_once(evaluation.image_rows, *np.zeros((2, 2, 2), np.uint8), (1, 1), 1.0)
    params = snakemake.params
    rows, grid = files.read_csv(snakemake.input.split), (params.size, params.resize)
    folders = [Path(paths[0]).parent for paths in (snakemake.input.slices, snakemake.input.labels)]
    shares = leakage.shares(rows)
    for share in shares:
        if params.kind != "slice" and any(share[name] for name in leakage.NONE_BY_PATIENT):
            raise DataError(f"{snakemake.input.split}: a split by patients leaks ({share}); delete it and run again")
    train, test = ([row for row in rows if row["subset"] == subset] for subset in ("train", "test"))
    pictures, masks = batches.load_images(train, folders[0], *grid), batches.load_masks(train, folders[1], *grid)
    images, truths = batches.load_images(test, folders[0], *grid), batches.load_masks(test, folders[1], *grid)
    known, tested = leakage.scaled(pictures), leakage.scaled(images)
    copies = [masks[leakage.nearest(row, image, train, known)] for row, image in zip(test, tested, strict=True)]
    entries, stacks = scoring.copied(test, copies, truths, params.tau)
    files.write_csv(snakemake.output.shares, shares, list(shares[0]))
    files.write_csv(snakemake.output.images, entries, evaluation.PER_IMAGE)
    stacked = evaluation.stack_rows(stacks, params.tau) if params.surface == "stack" else []
    files.write_csv(snakemake.output.stack, stacked, evaluation.PER_STACK)
    logging.info("%s", shares)


run(main, globals().get("snakemake"))
