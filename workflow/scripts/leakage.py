"""Rule leakage: what training knew of the test set, and the score of copying the nearest training mask."""

from lumbarflow.job import compile_once, run


def main(snakemake):
    import logging

    import numpy as np

    from lumbarflow import DataError, files
    from lumbarflow.learning import batches, prediction
    from lumbarflow.measures import evaluation, leakage

    compile_once(evaluation.image_rows, *np.zeros((2, 2, 2), np.uint8), (1, 1), 1.0)
    params = snakemake.params
    rows = files.read_csv(snakemake.input.split)
    shares = leakage.shares(rows)
    for known in shares:
        if params.kind != "slice" and any(known[name] for name in leakage.NONE_BY_PATIENT):
            raise DataError(f"{snakemake.input.split}: a split by patients leaks ({known}); delete it and run again")
    train, test = ([row for row in rows if row["subset"] == subset] for subset in ("train", "test"))
    pictures = batches.load_images(train, params.slice_folder, *params.grid)
    masks = batches.load_masks(train, params.label_folder, *params.grid)
    entries, stacks, truths = [], {}, batches.load_masks(test, params.label_folder, *params.grid)
    for row, image, truth in zip(
        test, batches.load_images(test, params.slice_folder, *params.grid), truths, strict=True
    ):
        copy = masks[leakage.nearest(row, image, train, pictures)]
        stacks.setdefault(row["sequence"], []).append((copy, truth))
        common = {key: row[key] for key in ("sequence", "patient", "volume", "index")}
        sums = prediction.soft_sums((copy[..., None] == np.arange(4)).astype(np.float32), truth)
        for entry in evaluation.image_rows(copy, truth, (1, 1), params.tau, sums):
            entries.append({**common, "grid": "network", "unit": "px", **entry})
    files.write_csv(snakemake.output.shares, shares, list(shares[0]))
    files.write_csv(snakemake.output.images, entries, evaluation.PER_IMAGE)
    files.write_csv(snakemake.output.stack, evaluation.stack_rows(stacks, params.tau), evaluation.PER_STACK)
    logging.info("%s", shares)


run(main, globals().get("snakemake"))
