"""Rule cross_table: networks on sequences that they were not trained on."""

from lumbarflow.job import run

NOTE = (
    "Dice pooled over all test slices, on the grid of the experiment's evaluation; the mean over folds and seeds. "
    "Where the two sequences differ, the network never saw a series of that kind, nor any of these patients."
)


def main(snakemake):
    from pathlib import Path

    import pandas as pd

    from lumbarflow.report import publish, tables

    runs = []
    for path in (*snakemake.input.images, *snakemake.input.across):
        parts = Path(path).parts
        experiment, trained_on = parts[2:4]
        images = pd.read_csv(path)
        images = images[images["grid"] == snakemake.params.evaluation[experiment]["grid"]]
        runs += [(experiment, trained_on, *group) for group in images.groupby("sequence", sort=False)]
    stem = str(Path(snakemake.output[0]).with_suffix(""))
    publish.write(tables.across(runs), stem, "Across sequences", NOTE)


run(main, globals().get("snakemake"))
