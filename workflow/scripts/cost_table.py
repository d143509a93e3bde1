"""Rule cost_table: what each experiment cost to train and to predict, on this machine."""

from lumbarflow.job import run, software


def main(snakemake):
    from pathlib import Path

    from lumbarflow import files
    from lumbarflow.report import notes, provenance, rivals

    made_by = provenance.line(software(), snakemake.config)
    output, rows = Path(snakemake.output[0]), []
    given, params = snakemake.input, snakemake.params
    for each, chosen, table, split in zip(params.runs, params.chosen, given.predictions, given.splits, strict=True):
        volumes = {row["volume"] for row in files.read_csv(table) if not row["plane_sha256"]}
        if chosen:
            volumes |= {row["volume"] for row in files.read_csv(split) if row["subset"] == "validation"}
        rows.append(rivals.run_cost(each, output.parents[1], len(volumes)))
    notes.write("rivals_cost", rivals.cost(rows), output.parent, made_by)


run(main, globals().get("snakemake"))
