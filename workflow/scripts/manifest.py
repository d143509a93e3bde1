"""Rule manifest: every image of a sequence, with what the filter says of it."""

from lumbarflow.job import run


def main(snakemake):
    import logging
    from collections import Counter

    from lumbarflow import files, weights

    rows = [row for path in snakemake.input.weights for row in files.read_csv(path)]
    decisions = weights.select(rows, **snakemake.params.filter)
    for row, (kept, reason) in zip(rows, decisions, strict=True):
        row |= {"kept": kept, "reason": reason}
    files.write_csv(snakemake.output[0], rows, list(rows[0]))
    logging.info("%d images: %s", len(rows), dict(Counter(reason or "kept" for _, reason in decisions)))


run(main, globals().get("snakemake"))
