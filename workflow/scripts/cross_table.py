"""Rule cross_table: networks on sequences that they were not trained on."""

from lumbarflow.job import run, software


def main(snakemake):
    from pathlib import Path

    from lumbarflow.report import frames, notes, provenance, results, tables

    made_by = provenance.line(software(), snakemake.config)
    runs, evaluation = [], snakemake.params.evaluation
    tested = [(path, results.where(path)) for path in snakemake.input.images]
    tested += [(path, results.where(Path(path).parents[1])) for path in snakemake.input.across]
    for path, (experiment, trained_on) in tested:
        images = frames.read_table(path)
        images = images[images["scored"] & (images["grid"] == evaluation[experiment]["grid"])]
        runs += [(experiment, trained_on, *group) for group in images.groupby("sequence", sort=False)]
    notes.write("cross_sequence", tables.across(runs), Path(snakemake.output[0]).parent, made_by)


run(main, globals().get("snakemake"))
